import type { CallResult, Seen } from '../../../box/app-call.ts';
import { type Answer, type Case, twin } from './cases.ts';
import type { ServerName } from './servers.ts';

/** The result that `meshapp batch` prints for one call. */
export type BatchResult = Omit<CallResult, 'body'> & {
  body: unknown;
  trailers?: Record<string, string[]>;
  bodyBytes: number;
  bodySha256: string;
  sentSha256?: string;
  events?: { data: string }[];
  errorClass: string;
};

/** The fields that must be the same as with full configuration. */
export type Outcome = Record<string, unknown>;

/**
 * Replaces every transport error by one word, because the error depends on the moment in which a
 * proxy closes.
 */
function errorOf({ errorClass, status }: BatchResult): string {
  if (status !== 0 || errorClass === 'dns') return errorClass;
  return errorClass === '' ? '' : 'failed';
}

/** The outcome in one word, as in the column `full` of the table. */
export function answerOf({ status, error }: Outcome): Answer {
  if (error === '' && [0, 101, 200].includes(Number(status))) return 'answered';
  return status === 0 ? 'failed' : Number(status);
}

/**
 * Status, body, observed identity, applied policy and protocol, without the values that differ
 * between calls (times, request ids, the pod among replicas).
 */
export function outcomeOf(result: BatchResult, { name, on, to, isTwin }: Case): Outcome {
  const outcome = withOwnNames(result, to === 'hashed' ? undefined : on);
  if (!isTwin) return outcome;
  // The echo of the request names the destination.
  const text = JSON.stringify(outcome).replaceAll(name, name.slice(0, -twin.length));
  return JSON.parse(text) as Outcome;
}

function withOwnNames(result: BatchResult, server: ServerName | undefined): Outcome {
  const { status, protocol, body, headers, trailers, events } = result;
  const seen = echoesOf(body);
  return {
    status,
    protocol,
    error: errorOf(result),
    route: headers?.['X-Route'] ?? [],
    trailers: Object.keys(trailers ?? {}).sort(),
    ...(events && { events: events.length }),
    ...(seen.length > 0 ? seenOf(seen, result) : { text: textOf(result) }),
    // Either of the two servers may answer. The status shows that one of them has answered.
    ...((server === 'mixed' || server === 'mixed-strict') && {
      servedBy: [],
      identity: [],
      text: '',
    }),
  };
}

/** Each Service has another address. */
const address = /\d+\.\d+\.\d+\.\d+/;

function echoesOf(body: unknown): Seen[] {
  const list = Array.isArray(body) ? body : [body];
  return list.filter((each): each is Seen => typeof each?.peerIdentity === 'string');
}

/** `serverName`: the app was spoken to by TLS, under this name. */
type SeenMore = Seen & { trailers?: object; serverName?: string };

function seenOf(seen: SeenMore[], { sentSha256 = '' }: BatchResult) {
  const of = (value: (each: SeenMore) => unknown) => [...new Set(seen.map(value))];
  return {
    answers: seen.length,
    servedBy: of(({ name }) => name),
    identity: of(({ peerIdentity }) => peerIdentity),
    seenAs: of(({ method, protocol, host, path }) =>
      `${method} ${host} ${path} ${protocol}`.replace(address, 'ADDRESS'),
    ),
    seenAsServer: of(({ serverName }) => serverName ?? ''),
    seenRoute: of(({ headers }) => headers['X-Route']?.join() ?? headers['x-route']?.join() ?? ''),
    seenTrailers: of(({ trailers }) => Object.keys(trailers ?? {}).join()),
    leaked: of(({ headers }) =>
      Object.keys(headers)
        .filter((name) => /lazyscope|original/i.test(name))
        .join(),
    ),
    bodyArrived: seen.every(({ bodySha256 }) => sentSha256 === '' || bodySha256 === sentSha256),
  };
}

/**
 * The text of a body that is not an echo: a hash for a large body, and nothing for an error page of
 * a proxy.
 */
function textOf({ status, body, bodyBytes, bodySha256 }: BatchResult): string {
  if (status >= 400) return '';
  return bodyBytes > 4096 ? `${bodyBytes} bytes ${bodySha256}` : JSON.stringify(body);
}
