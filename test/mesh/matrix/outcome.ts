import type { CallResult, Seen } from '../../../box/app-call.ts';
import { type Answer, type Case, twin } from './cases.ts';
import type { ServerName } from './servers.ts';

/** What `meshapp batch` prints of one call. */
export type BatchResult = Omit<CallResult, 'body'> & {
  body: unknown;
  trailers?: Record<string, string[]>;
  bodyBytes: number;
  bodySha256: string;
  sentSha256?: string;
  events?: { data: string }[];
  errorClass: string;
};

/** What has to be the same as with full configuration. */
export type Outcome = Record<string, unknown>;

/** One word for all errors of transport: which of them shows depends on when a proxy closes. */
function errorOf({ errorClass, status }: BatchResult): string {
  if (status !== 0 || errorClass === 'dns') return errorClass;
  return errorClass === '' ? '' : 'failed';
}

/** The outcome in a word, as the column `full` of the table has it. */
export function answerOf({ status, error }: Outcome): Answer {
  if (error === '' && [0, 101, 200].includes(Number(status))) return 'answered';
  return status === 0 ? 'failed' : Number(status);
}

/**
 * Status, body, identity seen, policy applied and protocol, without what differs from call to call
 * (times, request ids, the pod among equal ones).
 */
export function outcomeOf(result: BatchResult, { name, on, isTwin }: Case): Outcome {
  const outcome = withOwnNames(result, on);
  if (!isTwin) return outcome;
  // What the server saw names the destination.
  const text = JSON.stringify(outcome).replaceAll(name, name.slice(0, -twin.length));
  return JSON.parse(text) as Outcome;
}

function withOwnNames(result: BatchResult, server: ServerName): Outcome {
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
    // Which of the two answers is chance; that it is one of them, the status says.
    ...(server === 'mixed' && { servedBy: [], identity: [], text: '' }),
  };
}

/** Another Service, another address. */
const address = /\d+\.\d+\.\d+\.\d+/;

function echoesOf(body: unknown): Seen[] {
  const list = Array.isArray(body) ? body : [body];
  return list.filter((each): each is Seen => typeof each?.peerIdentity === 'string');
}

function seenOf(seen: (Seen & { trailers?: object })[], { sentSha256 = '' }: BatchResult) {
  const of = (value: (each: Seen & { trailers?: object }) => unknown) => [
    ...new Set(seen.map(value)),
  ];
  return {
    answers: seen.length,
    servedBy: of(({ name }) => name),
    identity: of(({ peerIdentity }) => peerIdentity),
    seenAs: of(({ method, protocol, host, path }) =>
      `${method} ${host} ${path} ${protocol}`.replace(address, 'ADDRESS'),
    ),
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

/** Bodies that are no echo: large ones by their hash, the text of proxies not at all. */
function textOf({ status, body, bodyBytes, bodySha256 }: BatchResult): string {
  if (status >= 400) return '';
  return bodyBytes > 4096 ? `${bodyBytes} bytes ${bodySha256}` : JSON.stringify(body);
}
