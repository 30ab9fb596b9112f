import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { parseStats, startScrape } from '../../../../companion/node/scrape.ts';
import type { ProxyStats } from '../../../../companion/rpc.ts';
import { log, podOf, testMetrics } from './fixtures.ts';
import { eventually } from './running-node.ts';

// Real sockets and timers, on machines that may be busy.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

/** As Envoy 1.40 writes it. */
const text = `# TYPE envoy_cluster_manager_active_clusters gauge
envoy_cluster_manager_active_clusters{} 13
# TYPE envoy_server_memory_allocated gauge
envoy_server_memory_allocated{} 10489760
# TYPE envoy_server_memory_physical_size gauge
envoy_server_memory_physical_size{} 16777216
`;

async function scrape(listener: RequestListener, hasProxy = true) {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await eventually(() => server.listening);
  const { metrics, value } = testMetrics();
  const found: [string, ProxyStats][] = [];
  const scraping = startScrape({
    pods: () => [podOf('cart', { addresses: ['127.0.0.1'], hasProxy })],
    onStats: (pod, stats) => found.push([pod.name, stats]),
    intervalMs: 20,
    metrics,
    log,
    port: (server.address() as AddressInfo).port,
  });
  stops.push(async () => {
    await scraping.stop();
    server.closeAllConnections();
    server.close();
  });
  return { found, value, stop: scraping.stop };
}

describe('the memory of a proxy', () => {
  it('is read from its statistics port, which filters by itself', async () => {
    let asked = '';
    const { found } = await scrape((request, response) => {
      asked = decodeURIComponent(request.url ?? '');
      response.end(text);
    });
    expect(await eventually(() => found[0])).toEqual([
      'cart',
      { allocatedBytes: 10_489_760, physicalBytes: 16_777_216, clusters: 13 },
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
    const { found, value } = await scrape(listener);
    await eventually(async () => (await value('node_scrapes_total', { outcome: 'failed' })) > 1);
    expect(found).toEqual([]);
  });

  it('is given up in the middle of an answer when the process stops', async () => {
    let asked = 0;
    const { found, stop } = await scrape((_, response) => {
      asked += 1;
      response.write(text);
    });
    await eventually(() => asked === 1);
    await stop();
    expect(found).toEqual([]);
  });

  it('is not asked of pods without a proxy', async () => {
    let asked = 0;
    await scrape((_, response) => {
      asked += 1;
      response.end(text);
    }, false);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(asked).toBe(0);
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

  it('takes anything without failing', () => {
    fc.assert(fc.property(fc.string(), (given) => void parseStats(given)));
  });
});
