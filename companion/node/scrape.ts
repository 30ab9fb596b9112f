import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import type { Logger } from 'pino';
import type { ProxyStats } from '../core/scope/proxies.ts';
import { messageOf } from '../frame/errors.ts';
import type { NodeMetrics } from './metrics.ts';
import type { Pod } from './pods.ts';
import { parseLogDropped, parseStats, statsPath } from './proxy-stats.ts';

export type Scrape = {
  /** A report arrived: a proxy without figures is read at once. */
  reported(pod: Pod): void;
  /** The configuration of the proxy is about to change: read its figures after the change. */
  changing(pod: Pod): void;
  forget(pod: Pod): void;
  stop(): Promise<void>;
};

/**
 * Istio's bootstrap routes `/stats/prometheus` of this port, with any query, to Envoy's admin
 * (tools/packaging/common/envoy_bootstrap.json), so Envoy itself filters.
 */
const proxyStatsPort = 15_090;
/**
 * Three gauges with their type lines are 400 bytes; without a filter the answer would be megabytes.
 */
const bodyBytesMax = 64 * 1024;
/** Envoy answers from its main thread, which a big configuration push may keep busy. */
const timeoutMs = 5_000;
/**
 * Concurrent reads: 110 pods take 14 turns of some milliseconds each, and a stuck pod blocks one of
 * 8.
 */
const concurrency = 8;

/**
 * Pauses after new figures, for example when a scope came into force: when istiod has pushed, and
 * when the proxy has freed memory (8 s in the worst case measured).
 */
const againMs = [5_000, 15_000];

/**
 * A proxy is steady when this many readings in a row found the same number of clusters: about a
 * minute after a change, when its memory no longer changes either. It is then read in one round of
 * `steadyRounds`, because reading 100 proxies in each round takes most of the CPU that an idle node
 * companion uses.
 */
const steadyReadings = 6;
const steadyRounds = 4;

export type ScrapeOptions = {
  /** Pods of enabled namespaces. */
  pods(): Iterable<Pod>;
  /**
   * `news`: the first figures of the proxy, or another number of clusters than before.
   * `logDropped`: entries of its access log that Envoy dropped, if its statistics have them.
   */
  onStats(pod: Pod, stats: ProxyStats, news: boolean, logDropped: number | undefined): void;
  intervalMs: number;
  metrics: NodeMetrics;
  log: Logger;
  /** Called at each reading. */
  port?: (() => number) | undefined;
  againMs?: readonly number[];
};

/**
 * The number of clusters of the last reading, how many readings in a row found it, and the round in
 * which the proxy was last read.
 */
type LastReading = { clusters: number | undefined; same: number; round: number };

type Scraper = ScrapeOptions & {
  stopped: boolean;
  /**
   * Uids of proxies that wait for their turn; each appears once, however often it was requested.
   */
  queue: Map<string, Pod>;
  running: Map<AbortController, Promise<void>>;
  /** Proxies that were read, or are about to be. */
  readings: Map<string, LastReading>;
  round: number;
  timers: Map<string, NodeJS.Timeout[]>;
};

/** Reads the memory of every enabled proxy of this node: at its first report, then periodically. */
export function startScrape(options: ScrapeOptions): Scrape {
  const state: Scraper = {
    ...options,
    stopped: false,
    queue: new Map(),
    running: new Map(),
    readings: new Map(),
    round: 0,
    timers: new Map(),
  };
  const timer = setInterval(nextRound, options.intervalMs, state);
  return {
    reported(pod) {
      if (!state.readings.has(pod.uid)) enqueue(state, pod);
    },
    changing: (pod) => readAgain(state, pod),
    forget({ uid }) {
      state.readings.delete(uid);
      state.queue.delete(uid);
      stopTimers(state, uid);
    },
    async stop() {
      clearInterval(timer);
      state.stopped = true;
      for (const uid of state.timers.keys()) stopTimers(state, uid);
      for (const abort of state.running.keys()) abort.abort();
      await Promise.all(state.running.values());
    },
  };
}

function nextRound(state: Scraper): void {
  state.round += 1;
  for (const pod of state.pods()) {
    const last = state.readings.get(pod.uid);
    const isSteady = last !== undefined && last.same >= steadyReadings;
    if (!isSteady || state.round - last.round >= steadyRounds) enqueue(state, pod);
  }
}

function stopTimers({ timers }: Scraper, uid: string): void {
  for (const timer of timers.get(uid) ?? []) clearTimeout(timer);
  timers.delete(uid);
}

/** Restarts with each change, so that the last change of a series is read to its end. */
function readAgain(state: Scraper, pod: Pod): void {
  stopTimers(state, pod.uid);
  if (state.stopped || !pod.hasProxy) return;
  const delays = state.againMs ?? againMs;
  state.timers.set(
    pod.uid,
    delays.map((ms) => setTimeout(enqueue, ms, state, pod)),
  );
}

function enqueue(state: Scraper, pod: Pod): void {
  if (!pod.hasProxy) return;
  const last = state.readings.get(pod.uid) ?? { clusters: undefined, same: 0 };
  state.readings.set(pod.uid, { ...last, round: state.round });
  state.queue.set(pod.uid, pod);
  pump(state);
}

function pump(state: Scraper): void {
  const { queue, running } = state;
  for (const [uid, pod] of queue) {
    if (state.stopped || running.size >= concurrency) return;
    queue.delete(uid);
    const abort = new AbortController();
    const reading = scrapePod(state, pod, abort).finally(() => {
      running.delete(abort);
      pump(state);
    });
    running.set(abort, reading);
  }
}

async function scrapePod(state: Scraper, pod: Pod, abort: AbortController): Promise<void> {
  const { metrics, log, readings, onStats } = state;
  // Timeout for the whole read: a pod that sends a byte at a time must not delay the others.
  const deadline = setTimeout(() => abort.abort(new Error('no answer in time')), timeoutMs);
  try {
    const { stats, logDropped } = await readStats(state, pod, abort.signal);
    metrics.scrapes.inc({ outcome: 'ok' });
    // The proxy was forgotten during the read.
    const last = readings.get(pod.uid);
    if (!last) return;
    const news = last.clusters !== stats.clusters;
    const same = news ? 1 : last.same + 1;
    readings.set(pod.uid, { ...last, clusters: stats.clusters, same });
    if (news) readAgain(state, pod);
    onStats(pod, stats, news, logDropped);
  } catch (err) {
    if (state.stopped) return;
    metrics.scrapes.inc({ outcome: 'failed' });
    log.debug({ pod: pod.name, namespace: pod.namespace, err: messageOf(err) }, 'scrape failed');
  } finally {
    clearTimeout(deadline);
  }
}

async function readStats(
  { port = () => proxyStatsPort }: Scraper,
  { addresses: [host = ''] }: Pod,
  signal: AbortSignal,
): Promise<{ stats: ProxyStats; logDropped: number | undefined }> {
  // Envoy may compress, which is useless for three lines. Each read has its own connection, because
  // rounds are seconds apart.
  const headers = { 'accept-encoding': 'identity' };
  const sent = request({
    host,
    port: port(),
    path: statsPath,
    headers,
    agent: false,
    signal,
  }).end();
  // Errors are already reported by `once` and by reading the body; this listener only keeps them
  // from being thrown.
  sent.on('error', () => undefined);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const body = await readBounded(response);
  const stats = parseStats(body);
  if (response.statusCode !== 200 || !stats) {
    throw new Error(`status ${response.statusCode}, no usable figures`);
  }
  return { stats, logDropped: parseLogDropped(body) };
}

async function readBounded(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    // Leaving the loop destroys the stream and with it the connection.
    if (size > bodyBytesMax) throw new Error(`answer above ${bodyBytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('latin1');
}
