import { expect, test } from 'vitest';
import type { Access } from '../../../../companion/controller/console/access.ts';
import { figures } from '../../../../companion/controller/console/figures.ts';
import { topology } from '../../../../companion/controller/console/topology.ts';
import { overview } from '../../../../companion/controller/console/views.ts';
import { createHistory } from '../../../../companion/core/history/history.ts';
import { readWorkloadScope } from '../../../../companion/core/scope/workload-scope.ts';

const start = Date.parse('2026-01-01T00:00:00Z');
const hour = 3_600_000;
const all: Access = { all: true, namespaces: new Set() };
const tenant: Access = { all: false, namespaces: new Set(['bank']) };

type Made = { namespace?: string; created?: number; hosts?: object[]; status?: object };

function scopeOf(name: string, { namespace = 'shop', created = start, hosts = [], status }: Made) {
  return readWorkloadScope({
    ...{ apiVersion: 'lazyscope.io/v1alpha1', kind: 'WorkloadScope' },
    metadata: { namespace, name, uid: name, creationTimestamp: new Date(created).toISOString() },
    status: {
      ...{ mode: 'enforce', hosts, proxies: { total: 2 }, expiry: { ttl: '72h' } },
      ...status,
    },
  });
}

function knownOf(scopes: ReturnType<typeof scopeOf>[], now: number) {
  const get = (namespace: string, name: string) =>
    scopes.find((each) => each.namespace === namespace && each.name === name);
  return { scopes: { get, values: () => scopes }, history: createHistory(start), now: () => now };
}

const place = { minutes: 5, namespace: 'shop', workload: '', search: '', byNamespace: false };
const seen = (at: number) => ({
  firstSeen: new Date(start).toISOString(),
  lastSeen: new Date(at).toISOString(),
});

/** Of a scope with a host of every kind: those that the topology shows, with what it says. */
async function marked(query: Partial<typeof place> & { at?: number } = {}, access = all) {
  const now = start + 100 * hour;
  const hosts = [
    { host: 'shop/used', reason: 'learned', ...seen(now - hour) },
    { host: 'shop/half', reason: 'learned', ...seen(now - 36 * hour) },
    { host: 'shop/old', reason: 'learned', ...seen(now - 37 * hour) },
    { host: 'shop/late', reason: 'learned', ...seen(now - 70 * hour) },
    { host: 'shop/pinned', reason: 'pinned', ...seen(now - 70 * hour) },
    { host: 'shop/tcp', reason: 'eager' },
    { host: 'lazyscope-system/sentinel', reason: 'sentinel' },
  ];
  const known = knownOf(
    [scopeOf('web', { hosts }), scopeOf('pay', { namespace: 'bank', hosts })],
    now,
  );
  // The scope does not know yet of the call that has just been made.
  known.history.edges.add({ namespace: 'shop', workload: 'web', host: 'shop/late' }, now, 5);
  const { edges, source } = await topology(known, access, { at: now, ...place, ...query });
  expect(source).toBe('history');
  return Object.fromEntries(
    edges.map(({ host, mark, expiresAt, rate }) => [
      host,
      [mark, expiresAt && (expiresAt - now) / hour, rate > 0],
    ]),
  );
}

test('eager hosts, and those that expire unless they are called, are in the topology', async () => {
  const found = {
    'shop/late': [undefined, undefined, true],
    'shop/old': ['expiring', 35, false],
    'shop/tcp': ['eager', undefined, false],
  };
  expect(await marked()).toEqual(found);
  expect(await marked({ workload: 'web' })).toEqual(found);
  expect(await marked({ search: 'tcp' })).toEqual({ 'shop/tcp': found['shop/tcp'] });
});

test('of an earlier time, and of all namespaces, only calls are shown', async () => {
  const called = { 'shop/late': [undefined, undefined, true] };
  expect(await marked({ namespace: '' })).toEqual(called);
  expect(await marked({ at: start + 99 * hour, minutes: 1 })).toEqual({});
});

test('what a scope says of its hosts is hidden from those who may not see the scope', async () => {
  expect(await marked({}, tenant)).toEqual({});
  expect(Object.keys(await marked({ namespace: 'bank' }, tenant))).toEqual([
    'shop/old',
    'shop/late',
    'shop/tcp',
  ]);
});

test.each([
  [start - 2 * hour, true],
  // Those of the first minute came with the controllers.
  [start - 30_000, false],
  [start + hour, false],
])('scopes from before the history say that it was lost: %s', (created, isLost) => {
  const known = knownOf([scopeOf('web', { created })], start + 2 * hour);
  expect(overview(known, all).beganAnew).toBe(isLost);
});

test('what was saved is summed by namespace, over time, and for those who may see it', async () => {
  const now = start + hour;
  const measured = {
    clusters: { before: 100, after: 10 },
    memory: { beforeBytes: 9e6, afterBytes: 1e6 },
  };
  const known = knownOf(
    [
      scopeOf('web', { status: measured }),
      scopeOf('pay', { namespace: 'bank', status: measured }),
      scopeOf('new', { namespace: 'bank', status: { clusters: { before: 100 } } }),
    ],
    now,
  );
  for (const workload of ['shop/web', 'bank/pay'])
    known.history.figures.set(workload, now, { memoryBytes: 1_024_000, clusters: 10 });
  expect(overview(known, all).namespaces.map((each) => [each.namespace, each.clusters])).toEqual([
    ['bank', { before: 100, after: 10 }],
    ['shop', { before: 100, after: 10 }],
  ]);
  const last = async (namespace: string, access = all) => {
    const found = await figures(known, access, { namespace, name: '', days: 1 });
    return (
      found &&
      [found.memory, found.full, found.clusters, found.fullClusters].map((each) => each.at(-1))
    );
  };
  expect(await last('')).toEqual([4_096_000, 36e6, 20, 200]);
  expect(await last('bank')).toEqual([2_048_000, 18e6, 10, 100]);
  expect(await last('', tenant)).toEqual([2_048_000, 18e6, 10, 100]);
  // A namespace that is hidden and one that does not exist look alike.
  expect(await last('shop', tenant)).toBeUndefined();
  expect(await last('nowhere', tenant)).toBeUndefined();
});
