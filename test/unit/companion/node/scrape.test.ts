import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { log, podOf, testMetrics } from '../../../../box/played/fixtures.ts';
import type { ProxyStats } from '../../../../companion/core/scope/proxies.ts';
import { parseStats } from '../../../../companion/node/proxy-stats.ts';
import { startScrape } from '../../../../companion/node/scrape.ts';
import { eventually } from './running-node.ts';

// These tests use real sockets and timers and may run on a busy machine.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

/** The format of Envoy 1.40. */
const text = `# TYPE envoy_cluster_manager_active_clusters gauge
envoy_cluster_manager_active_clusters{} 13
# TYPE envoy_server_memory_allocated gauge
envoy_server_memory_allocated{} 10489760
# TYPE envoy_server_memory_physical_size gauge
envoy_server_memory_physical_size{} 16777216
`;

/** Starts a scraper. It makes no periodic round unless `intervalMs` is set. */
async function scrape(listener: RequestListener, { hasProxy = true, intervalMs = 3_600_000 } = {}) {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await eventually(() => server.listening);
  const { metrics, value } = testMetrics();
  const found: [string, ProxyStats, boolean][] = [];
  const pod = podOf('cart', { addresses: ['127.0.0.1'], hasProxy });
  const scraping = startScrape({
    pods: () => [pod],
    onStats: ({ name }, stats, news) => found.push([name, stats, news]),
    intervalMs,
    againMs: [30, 60],
    metrics,
    log,
    port: () => (server.address() as AddressInfo).port,
  });
  stops.push(async () => {
    await scraping.stop();
    server.closeAllConnections();
    server.close();
  });
  return { found, value, pod, ...scraping };
}

describe('the memory of a proxy', () => {
  it('is read from its statistics port, with the port’s own filter', async () => {
    let asked = '';
    const { found } = await scrape(
      (request, response) => {
        asked = decodeURIComponent(request.url ?? '');
        response.end(text);
      },
      { intervalMs: 20 },
    );
    expect(await eventually(() => found[0])).toEqual([
      'cart',
      { allocatedBytes: 10_489_760, physicalBytes: 16_777_216, clusters: 13 },
      true,
    ]);
    expect(asked).toContain(
      '/stats/prometheus?filter=^(server\\.memory_(allocated|physical_size)|',
    );
  });

  it.each<[string, RequestListener]>([
    ['refuses', (_, response) => response.writeHead(503).end(text)],
    ['says nothing useful', (_, response) => response.end('hello')],
    ['says too much', (_, response) => response.end(text + '#'.repeat(100_000))],
    ['breaks off', (request) => request.socket.destroy()],
  ])('is a counted failure when the proxy %s', async (_, listener) => {
    const { found, value } = await scrape(listener, { intervalMs: 20 });
    await eventually(async () => (await value('node_scrapes_total', { outcome: 'failed' })) > 1);
    expect(found).toEqual([]);
  });

  it('is abandoned in the middle of an answer when the process stops', async () => {
    let asked = 0;
    const { found, stop } = await scrape(
      (_, response) => {
        asked += 1;
        response.write(text);
      },
      { intervalMs: 20 },
    );
    await eventually(() => asked > 0);
    await stop();
    expect(found).toEqual([]);
  });

  it('is not read from pods without a proxy', async () => {
    let asked = 0;
    const { reported, pod } = await scrape(
      (_, response) => {
        asked += 1;
        response.end(text);
      },
      { hasProxy: false, intervalMs: 20 },
    );
    reported(pod);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(asked).toBe(0);
  });
});

describe('a proxy that reports', () => {
  it('is read at once, and again when its first figures have had time to change', async () => {
    const { found, reported, pod } = await scrape((_, response) => response.end(text));
    reported(pod);
    reported(pod);
    await eventually(() => found.length === 3);
    expect(found.map(([, , news]) => news)).toEqual([true, false, false]);
    reported(pod);
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(found).toHaveLength(3);
  });

  it('is read again whenever the number of its clusters changed', async () => {
    let clusters = 2010;
    const { found, reported, pod } = await scrape((_, response) => {
      response.end(text.replace('{} 13', `{} ${clusters}`));
    });
    reported(pod);
    await eventually(() => found.length === 1);
    clusters = 14;
    await eventually(() => found.length === 4);
    expect(found.map(([, stats, news]) => [stats.clusters, news])).toEqual([
      [2010, true],
      [14, true],
      [14, false],
      [14, false],
    ]);
  });

  it('is read again when a change is announced, unless it went meanwhile', async () => {
    const { found, changing, reported, forget, pod } = await scrape((_, response) =>
      response.end(text),
    );
    reported(pod);
    await eventually(() => found.length === 3);
    changing(pod);
    await eventually(() => found.length === 5);
    changing(pod);
    forget(pod);
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(found).toHaveLength(5);
    reported(pod);
    await eventually(() => found.length === 6);
    expect(found.at(-1)?.[2]).toBe(true);
  });
});

describe('a steady proxy', () => {
  it('is read in every fourth round, and in each round after its clusters changed', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    stops.push(async () => vi.useRealTimers());
    let clusters = 13;
    const intervalMs = 1000;
    const { found, reported, pod } = await scrape(
      (_, response) => response.end(text.replace('{} 13', `{} ${clusters}`)),
      { intervalMs },
    );
    const readAfter = async (rounds: number, more: number) => {
      const before = found.length;
      vi.advanceTimersByTime(rounds * intervalMs);
      await eventually(() => found.length >= before + more);
    };
    reported(pod);
    await eventually(() => found.length === 3);
    for (let round = 0; round < 3; round++) await readAfter(1, 1);
    await readAfter(3, 0);
    await readAfter(1, 1);
    await readAfter(3, 0);
    expect(found).toHaveLength(7);
    clusters = 14;
    await readAfter(1, 3);
    expect(found[7]?.[2]).toBe(true);
    for (let round = 0; round < 3; round++) await readAfter(1, 1);
    expect(found).toHaveLength(13);
  });
});

describe('parsing', () => {
  it('needs all three figures, in any order and among any other lines', () => {
    const lines = text.trim().split('\n');
    const noise = fc.array(fc.oneof(fc.string(), fc.constant('envoy_other{a="b"} 1')));
    const shuffled = fc.shuffledSubarray(lines, { minLength: lines.length });
    fc.assert(
      fc.property(shuffled, noise, (order, others) => {
        expect(parseStats([...order, ...others].join('\n'))?.clusters).toBe(13);
      }),
    );
    for (const missing of lines.filter((line) => !line.startsWith('#'))) {
      expect(parseStats(text.replace(missing, ''))).toBeUndefined();
    }
  });

  it('reads any input without failing', () => {
    fc.assert(fc.property(fc.string(), (given) => void parseStats(given)));
  });
});
