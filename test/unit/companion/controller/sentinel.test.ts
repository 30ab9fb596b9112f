import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createControllerMetrics } from '../../../../companion/controller/metrics.ts';
import { createSentinelKeeper } from '../../../../companion/controller/reconcile/sentinel-keeper.ts';
import type { News } from '../../../../companion/controller/reconcile/sink.ts';
import { readNamespace } from '../../../../companion/controller/state/namespaces.ts';
import { createState } from '../../../../companion/controller/state/state.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { service } from '../core/objects.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const namespaces = { namespace: 'lazyscope-system', rootNamespace: 'istio-system' };

/** A sentinel keeper in a mesh with the enabled namespace `shop`. Its sink writes with `write`. */
function keep(write: (object: KubeObject) => Promise<KubeObject> = async (object) => object) {
  const state = createState({ clusterDomain: 'cluster.local', namespace: 'lazyscope-system' });
  const labels = { 'lazyscope.io/mode': 'enforce' };
  const shop = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } };
  state.namespaces.set('shop', readNamespace(shop));
  const written: number[][] = [];
  const told: News[] = [];
  const metrics = createControllerMetrics(new Registry());
  const keeper = createSentinelKeeper({
    ...{ state, metrics, namespaces, log: pino({ level: 'silent' }) },
    sink: {
      mayWrite: () => true,
      apply(object) {
        written.push(object.spec?.ports.map(({ number }: { number: number }) => number));
        return write(object);
      },
      delete: async () => undefined,
      tell: async (_about, news) => void told.push(news),
    },
  });
  const listen = (name: string, ports: number[]) =>
    state.catalog.upsert(
      service(`shop/${name}`, { ports: ports.map((port) => ({ name: 'http', port })) }),
    );
  async function run(): Promise<void> {
    keeper.mark();
    await vi.advanceTimersByTimeAsync(1_000);
  }
  return { listen, run, keeper, written, told, metrics };
}

test('the sentinel is written once for each change, even before the watch has reported the write', async () => {
  const { listen, run, written } = keep();
  listen('a', [8080]);
  await run();
  await run();
  expect(written).toEqual([[80, 8080]]);
  listen('b', [9080]);
  await run();
  expect(written).toEqual([
    [80, 8080],
    [80, 8080, 9080],
  ]);
});

test('a scope waits for the ports that its first calls need', async () => {
  const { listen, keeper, written } = keep();
  listen('a', [8080]);
  keeper.mark();
  await keeper.settled();
  expect(written).toEqual([[80, 8080]]);
  await keeper.settled();
  expect(written).toHaveLength(1);
});

test('a slow write and the next one do not overlap', async () => {
  let writing = 0;
  let most = 0;
  const { listen, run, written } = keep(async (object) => {
    writing += 1;
    most = Math.max(most, writing);
    await new Promise((resolve) => setTimeout(resolve, 3_500));
    writing -= 1;
    return object;
  });
  for (const port of [8081, 8082, 8083]) {
    listen(`on-${port}`, [port]);
    await run();
  }
  await vi.advanceTimersByTimeAsync(10_000);
  expect(most).toBe(1);
  expect(written.at(-1)).toEqual([80, 8081, 8082, 8083]);
});

test('a failed write is repeated', async () => {
  let failures = 1;
  const { run, written } = keep((object) =>
    failures-- > 0 ? Promise.reject(new Error('away')) : Promise.resolve(object),
  );
  await run();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(written).toEqual([[80], [80]]);
});

test('ports above the bound are counted, and reported once in an Event with the remedy', async () => {
  const { listen, run, told, metrics } = keep();
  listen(
    'greedy',
    Array.from({ length: 2_000 }, (_, n) => 2_000 + n),
  );
  await run();
  await run();
  expect((await metrics.sentinelPorts.get()).values[0]?.value).toBe(64);
  expect((await metrics.sentinelPortsLeftOut.get()).values[0]?.value).toBe(1_937);
  expect(told).toHaveLength(1);
  expect(told[0]).toMatchObject({ reason: 'PortsLeftOut', isWarning: true });
  expect(told[0]?.message).toMatch(
    /No listener for 1937 ports,.*2063, 2064, .*\.\.\. Use fewer ports/,
  );
  listen('greedy', [8080]);
  await run();
  expect((await metrics.sentinelPortsLeftOut.get()).values[0]?.value).toBe(0);
});
