import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';
import type { NodeMetrics } from '../metrics.ts';
import type { ProxyStats } from '../rpc.ts';
import type { Pod } from './pods.ts';

export type Scrape = { stop(): Promise<void> };

/**
 * Istio's bootstrap routes `/stats/prometheus` of this port, with any query, to Envoy's admin
 * (tools/packaging/common/envoy_bootstrap.json), so Envoy itself filters.
 */
const proxyStatsPort = 15_090;
const names = {
  envoy_server_memory_allocated: 'allocatedBytes',
  envoy_server_memory_physical_size: 'physicalBytes',
  envoy_cluster_manager_active_clusters: 'clusters',
} as const satisfies Record<string, keyof ProxyStats>;
const statsPath = `/stats/prometheus?filter=${encodeURIComponent(
  '^(server\\.memory_(allocated|physical_size)|cluster_manager\\.active_clusters)$',
)}`;

/** Three gauges with their type lines are 400 bytes; without a filter it would be megabytes. */
const bodyBytesMax = 64 * 1024;
/** Envoy answers from its main thread, which a big configuration push may keep busy. */
const timeoutMs = 5_000;
/** At once: 110 pods take 14 turns of some milliseconds each, and a stuck pod blocks one of 8. */
const concurrency = 8;

export type ScrapeOptions = {
  /** Pods of enabled namespaces. */
  pods(): Iterable<Pod>;
  onStats(pod: Pod, stats: ProxyStats): void;
  intervalMs: number;
  metrics: NodeMetrics;
  log: Logger;
  port?: number;
};

type State = ScrapeOptions & { stopped: boolean; open: Set<AbortController> };

/** Reads the memory of every enabled proxy of this node, again and again. */
export function startScrape(options: ScrapeOptions): Scrape {
  const state: State = { ...options, stopped: false, open: new Set() };
  let running: Promise<void> = Promise.resolve();
  let idle = true;
  const timer = setInterval(() => {
    // A round that is still going means slow proxies; more questions would not help them.
    if (!idle) return;
    idle = false;
    running = scrapeAll(state).finally(() => {
      idle = true;
    });
  }, options.intervalMs);
  return {
    async stop() {
      clearInterval(timer);
      state.stopped = true;
      for (const abort of state.open) abort.abort();
      await running;
    },
  };
}

async function scrapeAll(state: State): Promise<void> {
  const waiting = [...state.pods()].filter((pod) => pod.hasProxy);
  const worker = async () => {
    for (let pod = waiting.pop(); pod && !state.stopped; pod = waiting.pop()) {
      await scrapePod(state, pod);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}

async function scrapePod(state: State, pod: Pod): Promise<void> {
  const { metrics, log, open, onStats } = state;
  // For the whole of it: a pod that sends a byte now and then must not keep the others waiting.
  const abort = new AbortController();
  const deadline = setTimeout(() => abort.abort(new Error('no answer in time')), timeoutMs);
  open.add(abort);
  try {
    const stats = await readStats(state, pod, abort.signal);
    metrics.scrapes.inc({ outcome: 'ok' });
    onStats(pod, stats);
  } catch (err) {
    if (state.stopped) return;
    metrics.scrapes.inc({ outcome: 'failed' });
    log.debug({ pod: pod.name, namespace: pod.namespace, err: messageOf(err) }, 'scrape failed');
  } finally {
    clearTimeout(deadline);
    open.delete(abort);
  }
}

async function readStats(
  { port = proxyStatsPort }: State,
  { addresses: [host = ''] }: Pod,
  signal: AbortSignal,
): Promise<ProxyStats> {
  // Envoy may compress, which three lines are not worth. A connection each: rounds are seconds apart.
  const headers = { 'accept-encoding': 'identity' };
  const sent = request({ host, port, path: statsPath, headers, agent: false, signal }).end();
  // `once` reports a failure before the answer, reading the answer one after; here none is news.
  sent.on('error', () => undefined);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const stats = parseStats(await readBounded(response));
  if (response.statusCode !== 200 || !stats) {
    throw new Error(`status ${response.statusCode}, no usable figures`);
  }
  return stats;
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

/** The three gauges of a Prometheus text, or undefined when one is missing or not a count. */
export function parseStats(text: string): ProxyStats | undefined {
  const found: Partial<ProxyStats> = {};
  for (const line of text.split('\n')) {
    const [, name, value] = /^([a-z_]+)(?:\{[^}]*\})? (\d{1,15})(?:\s|$)/.exec(line) ?? [];
    if (name && name in names) found[names[name as keyof typeof names]] = Number(value);
  }
  const { allocatedBytes, physicalBytes, clusters } = found;
  if (allocatedBytes === undefined || physicalBytes === undefined || clusters === undefined) {
    return undefined;
  }
  return { allocatedBytes, physicalBytes, clusters };
}
