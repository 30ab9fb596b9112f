import { Registry } from 'prom-client';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Access } from '../../companion/controller/console/access.ts';
import { figures } from '../../companion/controller/console/figures.ts';
import type { Known } from '../../companion/controller/console/known.ts';
import { createPast } from '../../companion/controller/console/past.ts';
import { createPrometheus } from '../../companion/controller/console/prometheus.ts';
import { topology } from '../../companion/controller/console/topology.ts';
import { createControllerMetrics } from '../../companion/controller/metrics.ts';
import { createHistory } from '../../companion/core/history/history.ts';
import { readWorkloadScope } from '../../companion/core/scope/workload-scope.ts';
import { type PrometheusServer, startPrometheus } from './prometheus-server.ts';

// What the page shows of times before the history, from a real Prometheus with forty days.

// Building Prometheus takes minutes if the cache is empty.
vi.setConfig({ hookTimeout: 600_000 });

const [minute, day] = [60_000, 86_400_000];
const now = Math.floor(Date.now() / minute) * minute;
const begins = now - 40 * day;
let server: PrometheusServer | undefined;
let known: Known;

type Labels = Record<string, string>;
const textOf = (labels: Labels) =>
  Object.entries(labels)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(',');

/** A sample every four minutes; `value` of the minutes since the first. */
function family(name: string, type: 'gauge' | 'counter', all: [Labels, Value, from?: number][]) {
  const lines = all.flatMap(([labels, value, from = begins]) => {
    const found: string[] = [];
    for (let at = from; at <= now; at += 4 * minute)
      found.push(`${name}{${textOf(labels)}} ${value((at - from) / minute)} ${at / 1_000}`);
    return found;
  });
  return [`# TYPE ${name.replace(/_total$/, '')} ${type}`, ...lines].join('\n');
}
type Value = (minutes: number) => number;

/** Both replicas report. */
const replicas = (labels: Labels, value: Value): [Labels, Value][] =>
  ['a', 'b'].map((pod) => [{ ...labels, pod }, value]);
const web = { workload_namespace: 'shop', workload: 'web' };
const pay = { workload_namespace: 'bank', workload: 'pay' };
/** Before the scope of `web` came, ten days ago, its three sidecars had 100 MB each. */
const scopedAt = 30 * 1_440;
const memory: Value = (minutes) => (minutes < scopedAt ? 300e6 : 30e6);
const saved: Value = (minutes) => (minutes < scopedAt ? 0 : 270e6);

const call = (from: string, to: string, more: Labels = {}): Labels => ({
  ...{ reporter: 'source', source_workload_namespace: from.split('/')[0] ?? '' },
  ...{ source_workload: from.split('/')[1] ?? '', destination_service: to },
  destination_service_namespace: to.split('.')[1] ?? '',
  ...more,
});
const [cart, payHost] = ['cart.shop.svc.cluster.local', 'pay.bank.svc.cluster.local'];
const twiceAMinute: Value = (minutes) => 2 * minutes;

beforeAll(async () => {
  server = await startPrometheus([
    family(
      'lazyscope_controller_leader',
      'gauge',
      replicas({}, () => 1),
    ),
    family('lazyscope_controller_workload_memory_bytes', 'gauge', [
      ...replicas(web, memory),
      ...replicas(pay, () => 50e6),
    ]),
    family('lazyscope_controller_workload_memory_saved_bytes', 'gauge', [
      ...replicas(web, saved),
      ...replicas(pay, () => 0),
    ]),
    family(
      'lazyscope_controller_workload_clusters',
      'gauge',
      replicas(web, () => 12),
    ),
    family(
      'lazyscope_controller_workload_proxies',
      'gauge',
      replicas(web, () => 3),
    ),
    family('istio_requests_total', 'counter', [
      [call('shop/web', cart, { response_code: '200' }), twiceAMinute],
      [call('shop/web', cart, { response_code: '500' }), twiceAMinute],
      [call('shop/web', cart, { reporter: 'destination' }), twiceAMinute],
      [call('shop/web', payHost), twiceAMinute],
      [call('bank/audit', payHost), twiceAMinute],
      [call('shop/web', 'api.example.com', { destination_service_namespace: 'unknown' }), () => 7],
      [call('shop/web', 'unknown'), twiceAMinute],
      // Its counter appears with its first call, twenty days ago.
      [call('shop/cron', cart), () => 1, now - 20 * day],
    ]),
    family('istio_tcp_connections_opened_total', 'counter', [
      [call('shop/web', 'db.shop.svc.cluster.local'), twiceAMinute],
    ]),
  ]);
  const metrics = createControllerMetrics(new Registry());
  const onFailure = (reason: string) => console.error(reason);
  const clock = () => now;
  const address = server.url;
  const prometheus = createPrometheus({ address, metrics, now: clock, onFailure });
  const scopes = [web, pay].map(({ workload_namespace: namespace, workload: name }) =>
    readWorkloadScope({
      ...{ apiVersion: 'lazyscope.io/v1alpha1', kind: 'WorkloadScope' },
      metadata: { namespace, name, uid: name },
      status: {
        ...{ mode: 'enforce', proxies: {} },
        hosts: [{ host: `${namespace}/${payHost}`, reason: name === 'pay' ? 'served' : 'learned' }],
      },
    }),
  );
  const get = (namespace: string, name: string) =>
    scopes.find((each) => each.namespace === namespace && each.name === name);
  known = {
    ...{ scopes: { get, values: () => scopes }, history: createHistory(now), now: clock },
    past: createPast({ prometheus, now: clock }),
  };
});
afterAll(() => server?.stop());

const all: Access = { all: true, namespaces: new Set() };
const tenant: Access = { all: false, namespaces: new Set(['shop']) };
const ago = (days: number) => ({
  ...{ at: now - days * day, minutes: 60, namespace: '', workload: '', search: '' },
  byNamespace: false,
});

test('how far back Prometheus reaches is found, to the day', async () => {
  await expect.poll(() => known.past?.oldestAt()).toBeLessThanOrEqual(begins);
  expect(known.past?.oldestAt()).toBeGreaterThanOrEqual(begins - 2 * day);
});

test('memory and clusters over 90 days count each workload once, and begin where data does', async () => {
  const found = await figures(known, all, { namespace: '', name: '', days: 90 });
  expect(found).toMatchObject({ source: 'prometheus' });
  if (!found) throw new Error('no figures');
  const first = found.memory.findIndex((value) => value > 0);
  expect(Math.abs(found.from + first * found.binMs - begins)).toBeLessThan(2 * found.binMs);
  expect([found.memory[first], found.full[first]]).toEqual([350e6, 350e6]);
  expect([found.memory.at(-1), found.full.at(-1), found.clusters.at(-1)]).toEqual([
    80e6, 350e6, 12,
  ]);
});

test('a tenant gets the sum of its own workloads', async () => {
  const found = await figures(known, tenant, { namespace: '', name: '', days: 90 });
  expect([found?.memory.at(-1), found?.full.at(-1)]).toEqual([30e6, 300e6]);
  expect(await figures(known, tenant, { namespace: 'bank', name: 'pay', days: 90 })).toBe(
    undefined,
  );
});

test('a workload is shown by its mean sidecar', async () => {
  const found = await figures(known, tenant, { namespace: 'shop', name: 'web', days: 30 });
  expect([found?.memory.at(-1), found?.full.at(-1), found?.clusters.at(-1)]).toEqual([
    ...[10e6, 100e6, 12],
  ]);
});

test('who called whom before the history, with rates', async () => {
  const { edges, ...found } = await topology(known, all, ago(30));
  expect(found).toMatchObject({ source: 'prometheus', covered: 3_600_000 });
  const rates = Object.fromEntries(
    edges.map(({ namespace, workload, host, rate }) => [`${namespace}/${workload} ${host}`, rate]),
  );
  expect(rates).toEqual({
    // Both answers, and what the other side reports is not counted again.
    [`shop/web shop/${cart}`]: expect.closeTo(4 / 60, 3),
    [`shop/web bank/${payHost}`]: expect.closeTo(2 / 60, 3),
    [`bank/audit bank/${payHost}`]: expect.closeTo(2 / 60, 3),
    'shop/web shop/db.shop.svc.cluster.local': expect.closeTo(2 / 60, 3),
  });
  const sums = await topology(known, all, { ...ago(30), byNamespace: true });
  const pairs = sums.namespaces.map(({ namespace, to, pairs: of }) => [namespace, to, of]);
  expect(pairs.sort()).toEqual([
    ['bank', 'bank', 1],
    ['shop', 'bank', 1],
    ['shop', 'shop', 2],
  ]);
});

test('a first call is there, although its counter appears with it', async () => {
  const just = { ...ago(20), at: now - 20 * day + 30 * minute };
  const { edges } = await topology(known, all, just);
  expect(edges.map(({ workload }) => workload)).toContain('cron');
});

test('a tenant sees its own callers; a workload comes with those that a user may see', async () => {
  const { edges } = await topology(known, tenant, ago(30));
  expect([...new Set(edges.map(({ namespace }) => namespace))]).toEqual(['shop']);
  const callers = async (access: Access) =>
    (await topology(known, access, { ...ago(30), namespace: 'bank', workload: 'pay' })).edges
      .map(({ namespace, workload }) => `${namespace}/${workload}`)
      .sort();
  expect(await callers(all)).toEqual(['bank/audit', 'shop/web']);
  expect(await callers({ all: false, namespaces: new Set(['bank']) })).toEqual(['bank/audit']);
  expect(await callers(tenant)).toEqual([]);
});

test('before Prometheus began, nothing was called', async () => {
  expect(await topology(known, all, ago(50))).toMatchObject({ edges: [], source: 'prometheus' });
});
