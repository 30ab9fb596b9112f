import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Registry } from 'prom-client';
import { afterEach, expect, test } from 'vitest';
import type { Access } from '../../../../companion/controller/console/access.ts';
import { figures } from '../../../../companion/controller/console/figures.ts';
import { createPast } from '../../../../companion/controller/console/past.ts';
import { createPrometheus } from '../../../../companion/controller/console/prometheus.ts';
import { topology } from '../../../../companion/controller/console/topology.ts';
import { createControllerMetrics } from '../../../../companion/controller/metrics.ts';
import { createHistory } from '../../../../companion/core/history/history.ts';
import { readWorkloadScope } from '../../../../companion/core/scope/workload-scope.ts';
import { controllerSettings } from '../../../../companion/frame/config.ts';
import { readSettings } from '../../../../companion/frame/settings.ts';

const day = 86_400_000;
const start = Date.parse('2026-06-01T00:00:00Z');
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

type Answering = { status?: number; body?: string; isSilent?: boolean };

const matrix = (result: object[]) =>
  JSON.stringify({ status: 'success', data: { resultType: 'matrix', result } });

/** A Prometheus that answers everything alike, and a replica whose history begins now. */
async function replica(answering: Answering = {}) {
  const queries: string[] = [];
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    queries.push(new URLSearchParams(Buffer.concat(parts).toString()).get('query') ?? '');
    if (answering.isSilent) return;
    response.writeHead(answering.status ?? 200).end(answering.body ?? matrix([]));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  let clock = start;
  const now = () => clock;
  const metrics = createControllerMetrics(new Registry());
  const told: string[] = [];
  const prometheus = createPrometheus({
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    ...{ metrics, now, onFailure: (reason: string) => told.push(reason) },
  });
  const history = createHistory(start);
  const hosts = [{ host: 'bank/pay.bank.svc.cluster.local', reason: 'served' }];
  const scope = readWorkloadScope({
    ...{ apiVersion: 'lazyscope.io/v1alpha1', kind: 'WorkloadScope' },
    metadata: { namespace: 'bank', name: 'pay', uid: 'u' },
    status: { mode: 'enforce', hosts, proxies: {} },
  });
  const get = (namespace: string, name: string) =>
    namespace === 'bank' && name === 'pay' ? scope : undefined;
  const past = createPast({ prometheus, now });
  const known = { scopes: { get, values: () => [scope] }, history, now, past };
  const pass = (ms: number) => {
    clock += ms;
  };
  const outcomes = async () =>
    Object.fromEntries(
      (await metrics.prometheusQueries.get()).values.map(({ labels, value }) => [
        labels.outcome,
        value,
      ]),
    );
  return { known, queries, told, prometheus, past, pass, outcomes };
}

const all: Access = { all: true, namespaces: new Set() };
const tenant: Access = { all: false, namespaces: new Set(['shop', 'a.b']) };
const where = { at: start - 30 * day, minutes: 5, namespace: '', workload: '', search: '' };
const pairs = { ...where, byNamespace: false };

/** Queries about data; the one about how far Prometheus reaches back names no namespace. */
const asked = (queries: readonly string[]) => queries.filter((each) => !/leader/.test(each));

test('a query of a tenant has the namespaces that it may list, whatever it asks for', async () => {
  const { known, queries } = await replica();
  await topology(known, tenant, pairs);
  await topology(known, tenant, { ...pairs, namespace: 'bank' });
  await topology(known, tenant, { ...pairs, namespace: 'bank', workload: 'pay' });
  await topology(known, tenant, { ...pairs, namespace: '"} or x{a="' });
  await figures(known, tenant, { namespace: '', name: '', days: 90 });
  await figures(known, tenant, { namespace: 'shop', name: '', days: 90 });
  const found = asked(queries);
  expect(found.length).toBeGreaterThan(10);
  for (const query of found) {
    const series = query.match(/(istio|lazyscope)_\w+\{/g) ?? [];
    const allowed = query.match(/(source_workload|workload)_namespace=~"a\\\\\.b\|shop"/g) ?? [];
    expect([query, allowed.length]).toEqual([query, series.length]);
    // What a user typed is within one string.
    expect(query.replaceAll(/"(\\.|[^"\\])*"/g, '')).not.toMatch(/or x/);
  }
});

test('a workload of somebody else is not asked about', async () => {
  const { known, queries } = await replica();
  expect(await figures(known, tenant, { namespace: 'bank', name: 'pay', days: 90 })).toBe(
    undefined,
  );
  expect(asked(queries)).toEqual([]);
});

test('an answer with more than was asked for shows nothing of other tenants', async () => {
  const labels = { source_workload: 'web', destination_service: 'cart.shop.svc.cluster.local' };
  const series = (namespace: string) => ({
    metric: { ...labels, source_workload_namespace: namespace },
    values: [[start / 1_000, '60']],
  });
  const { known } = await replica({ body: matrix([series('shop'), series('bank')]) });
  const seen = async (access: Access) =>
    (await topology(known, access, pairs)).edges.map(({ namespace }) => namespace).sort();
  expect(await seen(tenant)).toEqual(['shop']);
  expect(await seen(all)).toEqual(['bank', 'shop']);
});

test('callers of a workload are asked for by the hosts that it serves, of nobody hidden', async () => {
  const { known, queries } = await replica();
  const banker: Access = { all: false, namespaces: new Set(['bank']) };
  await topology(known, banker, { ...pairs, namespace: 'bank', workload: 'pay' });
  const callers = queries.filter((each) => each.includes('destination_service=~'));
  expect(callers.length).toBeGreaterThan(0);
  for (const query of callers) {
    expect(query).toContain('destination_service=~"pay\\\\.bank\\\\.svc\\\\.cluster\\\\.local"');
    expect(query).toContain('source_workload_namespace=~"bank"');
  }
});

test.each([
  [
    'answers with an error',
    { status: 422, body: '{"status":"error","errorType":"execution","error":"secret"}' },
    /refused the question \(execution\)/,
  ],
  ['asks for a password', { status: 401, body: 'secret' }, /answered 401, and no JSON/],
  ['is another server', { body: '<html>secret' }, /answered 200, and no JSON/],
  [
    'answers a vector',
    { body: '{"status":"success","data":{"resultType":"vector","result":[]}}' },
    /no matrix/,
  ],
  ['answers too much', { body: ' '.repeat(17e6) }, /more than 16 MB/],
  [
    'sends its askers elsewhere',
    { status: 302, body: 'secret' },
    /answered 302, and no JSON|cannot be reached/,
  ],
])('a Prometheus that %s: the page says so, and no more', async (_, answering, why) => {
  const { known, told } = await replica(answering);
  const found = await topology(known, all, pairs);
  expect([found.refused, found.edges, found.covered]).toEqual([expect.stringMatching(why), [], 0]);
  const over = await figures(known, all, { namespace: '', name: '', days: 90 });
  expect(over).toMatchObject({ refused: expect.stringMatching(why), memory: [] });
  expect(JSON.stringify([found, over])).not.toContain('secret');
  expect(told.length).toBeGreaterThan(0);
});

test('nobody at the address: the page says so, without the address', async () => {
  const { known } = await replica();
  for (const close of closing.splice(0)) await close();
  const { refused = '' } = await topology(known, all, pairs);
  expect(refused).toBe('Prometheus cannot be reached.');
});

test('without a Prometheus, longer times are refused with the setting that is missing', async () => {
  const { known } = await replica();
  const { past: _, ...alone } = known;
  expect(await figures(alone, all, { namespace: '', name: '', days: 90 })).toMatchObject({
    refused: expect.stringContaining('LAZYSCOPE_PROMETHEUS_URL'),
  });
  // The history answers for an older time that it has nothing of it.
  expect(await topology(alone, all, pairs)).toMatchObject({ source: 'history', covered: 0 });
});

test('the same question within a minute is asked once, and others wait at a bound', async () => {
  const { prometheus, queries, pass, outcomes } = await replica();
  const at = (from: number) => ({ from, to: from, stepMs: 60_000 });
  await Promise.all([prometheus.ask('up', at(0)), prometheus.ask('up', at(0))]);
  expect(queries).toHaveLength(1);
  pass(60_001);
  await prometheus.ask('up', at(0));
  expect(queries).toHaveLength(2);
  const many = await Promise.allSettled(
    Array.from({ length: 10 }, (_, n) => prometheus.ask('up', at(n + 1))),
  );
  expect(many.filter(({ status }) => status === 'rejected')).toHaveLength(6);
  expect(await outcomes()).toEqual({ done: 6, refused: 6 });
});

test('how far back Prometheus reaches is asked beside the answers, every ten minutes', async () => {
  const first = start / 1_000 - 40 * 86_400;
  const body = matrix([{ metric: {}, values: [[first, '2']] }]);
  const { past, queries, pass } = await replica({ body });
  expect(past.oldestAt()).toBe(undefined);
  await expect.poll(() => past.oldestAt()).toBe((first - 86_400) * 1_000);
  pass(9 * 60_000);
  past.oldestAt();
  expect(queries).toHaveLength(1);
});

test.each([
  ['ftp://prometheus', false],
  ['http://user:secret@prometheus', false],
  ['prometheus:9090', false],
  ['http://prometheus:9090?x=1', false],
  ['http://prometheus.monitoring:9090/prefix', true],
  ['', true],
])('LAZYSCOPE_PROMETHEUS_URL=%s is accepted: %s', (url, isAccepted) => {
  const read = () =>
    readSettings(
      controllerSettings,
      { LAZYSCOPE_POD_NAME: 'p', LAZYSCOPE_PROMETHEUS_URL: url, LAZYSCOPE_KIALI_URL: url },
      [],
    );
  if (isAccepted) expect(read().prometheusUrl).toBe(url);
  else expect(read).toThrow(/LAZYSCOPE_PROMETHEUS_URL.*\n?.*LAZYSCOPE_KIALI_URL|URL/s);
});
