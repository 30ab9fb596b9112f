import { setMaxListeners } from 'node:events';
import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { type ChannelInterface, connectivityState, credentials, Metadata } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { createBackoff, pause } from '../bounds/backoff.ts';
import {
  type Answer,
  authorizationKey,
  type CatalogPart,
  connectController,
  type Hello,
  type NodeStream,
  type Question,
} from '../contract/rpc.ts';
import { messageOf } from '../frame/errors.ts';
import type { Aggregate } from './aggregate.ts';
import { type AddressesOptions, controllersMax, followAddresses } from './controller-addresses.ts';
import { type Link, startLink } from './link.ts';
import type { NodeMetrics } from './metrics.ts';
import type { Pod } from './pods.ts';

/** The streams to all controller replicas. */
export type Uplink = {
  /** Sends to every connected controller and returns how many. */
  ask(question: Question): number;
  changed(uid: string, urgent: boolean): void;
  gone(pod: Pod): void;
  stop(): void;
};

/**
 * Timeout to open a connection; `minReadySeconds` of the controller's Deployment relies on it. It
 * doubles after each late attempt, up to four times this: when a thousand nodes connect at once, a
 * controller needs longer, and each attempt that is given up wastes its work on the handshake.
 */
const connectMs = 5_000;
const connectGrowth = 4;
/** Pauses after a stream ended; `healthyMs` is as long as the longest pause. */
const backoff = { from: 500, to: 10_000, healthyMs: 10_000 };
/**
 * The kubelet replaces a token well before it expires; a stream must present the new token in time.
 */
const renewMs = 60_000;

export type UplinkOptions = Pick<AddressesOptions, 'service' | 'resolve'> & {
  port: number;
  hello: Hello;
  features?(): Record<string, string>;
  /** PEM of the CA that signs controllers; undefined while it is not known. */
  ca(): Promise<Buffer | undefined>;
  tokenPath: string;
  aggregate: Aggregate;
  metrics: NodeMetrics;
  log: Logger;
  now: () => number;
  onAnswer(answer: Answer): void;
  onOpened(link: Link): void;
  onEnded(link: Link): void;
  onCatalog(link: Link, part: CatalogPart): void;
  renewEveryMs?: number;
  connectMs?: number;
};

type Connections = UplinkOptions & {
  stopped: AbortController;
  /**
   * One loop for each address. It ends when DNS no longer has the address and its stream has ended.
   */
  addresses: Map<string, { wanted: boolean }>;
  links: Set<Link>;
};

export function startUplink(options: UplinkOptions): Uplink {
  const state: Connections = {
    ...options,
    stopped: new AbortController(),
    addresses: new Map(),
    links: new Set(),
  };
  // One or two for each controller.
  setMaxListeners(2 * controllersMax + 1, state.stopped.signal);
  const lookups: AddressesOptions = {
    ...options,
    isAlone: () => state.links.size === 0,
    onFound: (found) => connectTo(state, found),
  };
  void followAddresses(lookups, state.stopped.signal);
  return {
    ask(question) {
      let sent = 0;
      for (const link of state.links) if (link.ask(question)) sent += 1;
      return sent;
    },
    changed(uid, urgent) {
      for (const link of state.links) link.changed(uid, urgent);
    },
    gone(pod) {
      for (const link of state.links) link.gone(pod);
    },
    stop: () => state.stopped.abort(),
  };
}

function connectTo(state: Connections, found: Set<string>): void {
  const { addresses } = state;
  for (const [address, entry] of addresses) entry.wanted = found.has(address);
  for (const address of found) {
    if (addresses.has(address)) continue;
    addresses.set(address, { wanted: true });
    void keepConnected(state, address);
  }
}

async function keepConnected(state: Connections, address: string): Promise<void> {
  const { stopped, addresses, metrics, now } = state;
  const log = state.log.child({ controller: address });
  const { pauseAfter, reset } = createBackoff(backoff);
  const firstMs = state.connectMs ?? connectMs;
  let withinMs = firstMs;
  let lastKind = '';
  while (!stopped.signal.aborted && addresses.get(address)?.wanted) {
    const started = now();
    const { kind, detail } = await runStream(state, { address, withinMs }, log);
    withinMs = kind === 'late' ? Math.min(2 * withinMs, connectGrowth * firstMs) : firstMs;
    if (stopped.signal.aborted) break;
    // Waiting for the CA costs nothing, and the CA should be used as soon as it exists.
    if (kind === 'ca') reset();
    metrics.streamFailures.inc({ reason: kind });
    // Only the first failure of a kind is logged; the metric counts the others.
    log[kind === lastKind ? 'debug' : 'warn']({ kind, detail }, 'no controller stream');
    lastKind = kind;
    await pause(pauseAfter(now() - started), stopped.signal);
  }
  addresses.delete(address);
}

type Ended = { kind: 'ca' | 'token' | 'connect' | 'late' | 'stream'; detail: string };

/** Connects, runs one stream until it ends, closes the connection. */
async function runStream(
  state: Connections,
  { address, withinMs }: { address: string; withinMs: number },
  log: Logger,
): Promise<Ended> {
  const { stopped, port } = state;
  const ca = await state.ca().catch(() => undefined);
  if (!ca) return { kind: 'ca', detail: 'the CA of the controllers is not known yet' };
  const metadata = new Metadata();
  let token: string;
  try {
    token = await readToken(state);
    metadata.set(authorizationKey, `Bearer ${token}`);
  } catch (err) {
    return { kind: 'token', detail: messageOf(err) };
  }
  const target = isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
  const client = connectController(target, credentials.createSsl(ca));
  try {
    const connection = await connect(client.getChannel(), withinMs);
    if (stopped.signal.aborted) return { kind: 'stream', detail: 'stopping' };
    if (connection === 'late')
      return { kind: 'late', detail: `not connected within ${withinMs} ms` };
    const stream = client.connect(metadata);
    // Without a connection nothing is sent; the stream ends at once and reports the reason.
    if (connection === 'failed') return { kind: 'connect', detail: await endOf(stream) };
    return { kind: 'stream', detail: await follow(state, stream, log, token) };
  } finally {
    client.close();
  }
}

/** Tries once: the backoff of this file decides the pause before the next attempt. */
async function connect(
  channel: ChannelInterface,
  withinMs: number,
): Promise<'ready' | 'failed' | 'late'> {
  const deadline = Date.now() + withinMs;
  while (Date.now() < deadline) {
    const now = channel.getConnectivityState(true);
    if (now === connectivityState.READY) return 'ready';
    if (now === connectivityState.TRANSIENT_FAILURE) return 'failed';
    await new Promise((resolve) => channel.watchConnectivityState(now, deadline, resolve));
  }
  return 'late';
}

async function readToken({ tokenPath }: Connections): Promise<string> {
  return (await readFile(tokenPath, 'utf8')).trim();
}

function renewToken(state: Connections, stream: NodeStream, first: string): NodeJS.Timeout {
  const { metrics, renewEveryMs = renewMs } = state;
  let shown = first;
  return setInterval(async () => {
    // If the file cannot be read, or is being replaced, the next turn reads it.
    const token = await readToken(state).catch(() => '');
    if (token === '' || token === shown || stream.destroyed) return;
    shown = token;
    metrics.sent.inc({ kind: 'renew' });
    stream.write({ renew: { token } });
  }, renewEveryMs);
}

/** The reason why the stream ended, once it has. */
function endOf(stream: NodeStream): Promise<string> {
  let failure = 'ended by the controller';
  return new Promise((resolve) => {
    stream.on('error', (error) => {
      failure = messageOf(error);
    });
    stream.on('end', () => stream.end());
    stream.on('status', () => resolve(failure));
    // The end of a stream is only emitted while somebody reads.
    stream.resume();
  });
}

/** Uses the stream until it ends for any reason. */
async function follow(
  state: Connections,
  stream: NodeStream,
  log: Logger,
  token: string,
): Promise<string> {
  const { links, metrics, stopped } = state;
  const cancel = () => stream.cancel();
  stopped.signal.addEventListener('abort', cancel);
  const link = startLink({ ...state, stream, log });
  links.add(link);
  metrics.streams.set(links.size);
  state.onOpened(link);
  log.info('controller stream open');
  const renewing = renewToken(state, stream, token);
  if (stopped.signal.aborted) stream.cancel();
  const end = await endOf(stream);
  clearInterval(renewing);
  link.stop();
  links.delete(link);
  metrics.streams.set(links.size);
  state.onEnded(link);
  stopped.signal.removeEventListener('abort', cancel);
  return end;
}
