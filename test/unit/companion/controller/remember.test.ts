import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createControllerMetrics } from '../../../../companion/controller/metrics.ts';
import { measuredWorkloads, noteFigures } from '../../../../companion/controller/nodes/remember.ts';
import { measureWorkloads } from '../../../../companion/controller/tick.ts';
import { cart, kube, settle, start } from './shop.ts';

const cluster = 'outbound|80||cart.shop.svc.cluster.local';
const used = (count: number) => [{ cluster, secondsSinceSeen: 0, count }];
const hour = 3_600_000;
const all = { from: 0, to: Date.parse('2026-01-01T03:00:00Z') };

test('the calls that proxies report are in the history, each once', async () => {
  const controller = await start();
  controller.pass(hour);
  for (const count of [3, 3, 10]) controller.report('web', used(count));
  controller.pass(hour);
  controller.report('web', used(11));
  const [edge, ...others] = controller.history.edges.within(2, all);
  expect(edge).toMatchObject({ namespace: 'shop', workload: 'web', host: cart, calls: 11 });
  expect(others).toEqual([]);
});

test('a node companion that counts nothing, as of the previous release, adds no calls', async () => {
  const controller = await start();
  controller.pass(hour);
  controller.report('web', [{ cluster, secondsSinceSeen: 0 }]);
  expect(controller.history.edges.size()).toBe(0);
});

test.each([true, false])('scopes are remembered as they change, leader: %s', async (leads) => {
  const leader = await start();
  const controller = leads ? leader : await start({ leads: false });
  leader.report('web');
  await settle();
  leader.report('web', used(1));
  for (const each of new Set([leader, controller])) each.pass(60_000);
  await leader.lookThrough();
  await settle();
  const changes = controller.history.changes.since(0).filter(({ workload }) => workload === 'web');
  expect(changes.map(({ kind, host, detail }) => ({ kind, host, detail }))).toContainEqual({
    kind: 'host-added',
    host: cart,
    detail: 'learned',
  });
});

test('a first call is remembered with its strategy, and once', async () => {
  const controller = await start();
  controller.report('web');
  await settle();
  controller.ask('web', 'cart');
  controller.ask('web', 'cart');
  const calls = controller.history.changes.since(0).filter(({ kind }) => kind === 'first-call');
  expect(calls).toMatchObject([{ workload: 'web', host: cart, detail: 'direct' }]);
});

test('the memory and clusters of a workload are means over its proxies', async () => {
  const controller = await start();
  controller.report('web', [], { clusters: 100 });
  const now = Date.parse('2026-01-01T00:00:00Z');
  noteFigures(controller.history, measuredWorkloads(controller.state), now);
  const at = { from: now, to: now };
  const { figures } = controller.history;
  expect(figures.series('shop/web', 'clusters', 0, at)).toEqual([100]);
  expect(figures.series('shop/web', 'memory', 0, at)[0]).toBeCloseTo(7.5e6, -3);
  expect(kube.all('Pod').length).toBeGreaterThan(1);
});

test('each workload has metrics, for as long as its proxies report', async () => {
  const controller = await start();
  const metrics = createControllerMetrics(new Registry());
  controller.report('web', [], { clusters: 100 });
  measureWorkloads(controller.state, measuredWorkloads(controller.state), metrics);
  const values = async () => (await metrics.workloadClusters.get()).values;
  expect(await values()).toMatchObject([
    { labels: { workload_namespace: 'shop', workload: 'web' }, value: 100 },
  ]);
  measureWorkloads(controller.state, new Map(), metrics);
  expect(await values()).toEqual([]);
});

test('2,000 workloads have metrics; how many have none is counted', async () => {
  const controller = await start();
  const metrics = createControllerMetrics(new Registry());
  const one = { memoryBytes: 1, clusters: 1, proxies: 1 };
  const many = new Map(Array.from({ length: 2_003 }, (_, n) => [`shop/w${n}`, one]));
  measureWorkloads(controller.state, many, metrics);
  expect((await metrics.workloadMemory.get()).values).toHaveLength(2_000);
  expect((await metrics.workloadsLeftOut.get()).values[0]?.value).toBe(3);
});
