import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { createImports } from '../../../../companion/controller/state/imports.ts';
import { createChanges } from '../../../../companion/core/history/changes.ts';
import { createCounters } from '../../../../companion/core/history/counters.ts';
import { createEdgeHistory } from '../../../../companion/core/history/edges.ts';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import { createSharedTexts } from '../../../../companion/core/mesh/shared-text.ts';
import { createEdgeStore } from '../../../../companion/core/scope/edges.ts';
import { createProxyTable } from '../../../../companion/core/scope/proxies.ts';
import { readSidecar } from '../../../../companion/core/scope/sidecar.ts';
import { readWorkloadScope } from '../../../../companion/core/scope/workload-scope.ts';
import { trackKnown } from '../../../../companion/kube/known.ts';
import { istio, service, slice } from '../core/objects.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/**
 * Bytes of the heap that `make` leaves occupied: they do not depend on the machine. Code and shared
 * texts come with the first time, which does not count. The median of the others counts, because
 * garbage that goes late makes a time too small, and what the process does besides too large.
 */
function bytesOf(make: () => unknown): number {
  const [, ...times] = list(6, () => occupied(make));
  return times.sort((one, other) => one - other)[2] ?? Number.NaN;
}

/** Holds what is measured until it was measured. */
const held: unknown[] = [];

function occupied(make: () => unknown): number {
  held.length = 0;
  collect();
  const before = process.memoryUsage().heapUsed;
  held.push(make());
  collect();
  return process.memoryUsage().heapUsed - before;
}

/** As objects arrive: every text is another string. */
const parsed = <Value>(value: Value): Value => JSON.parse(JSON.stringify(value)) as Value;
const list = <Item>(count: number, make: (n: number) => Item) =>
  Array.from({ length: count }, (_, n) => make(n));

const hosts = 200;
const hostOf = (n: number) => `service-${n % hosts}.namespace-of-it.svc.cluster.local`;
const at = '2026-01-01T00:00:00Z';
const [workloads, called] = [200, 30];

const tables: [string, number, () => unknown][] = [
  [
    'a destination of a workload',
    160,
    () => {
      const edges = createEdgeStore();
      for (let n = 0; n < workloads * called; n++) {
        const { namespace, host } = parsed({
          namespace: 'namespace-of-it',
          host: hostOf(n % called),
        });
        const source = { namespace: 'shop', owner: `web-${Math.floor(n / called)}` };
        edges.see(source, { namespace, host }, Date.now());
      }
      return edges;
    },
  ],
  [
    'a host in a recorded scope',
    110,
    () =>
      list(workloads, (n) => {
        const told = list(called, (each) => ({
          host: `namespace-of-it/${hostOf(n + each)}`,
          reason: 'learned',
          firstSeen: at,
          lastSeen: at,
        }));
        const scope = istio('WorkloadScope', `shop/web-${n}`, {});
        return readWorkloadScope(parsed({ ...scope, status: { hosts: told } }));
      }),
  ],
  [
    'a host in a Sidecar, and since when',
    80,
    () => {
      const imports = createImports();
      return list(workloads, (n) => {
        const entries = list(called, (each) => `namespace-of-it/${hostOf(n + each)}`);
        const spec = { egress: [{ hosts: entries }] };
        const record = readSidecar(parsed(istio('Sidecar', `shop/lazyscope-web-${n}`, spec)));
        imports.note(record, 1);
        return [record, imports];
      });
    },
  ],
  [
    'a change',
    200,
    () => {
      const changes = createChanges(0, workloads * called);
      for (let n = 0; n < workloads * called; n++)
        changes.add(
          parsed({
            ...{ at: 1e12 + n, kind: 'first-call' as const, namespace: 'shop', workload: 'web' },
            ...{ host: `namespace-of-it/${hostOf(n)}`, detail: 'gateway' },
          }),
        );
      return changes;
    },
  ],
  [
    'a count of calls by a pod',
    70,
    () => {
      const counters = createCounters(0);
      for (let n = 0; n < workloads; n++) {
        const report = counters.report(`pod-${n}`, 1);
        for (let each = 0; each < called; each++)
          report(parsed({ cluster: `outbound|8080||${hostOf(n + each)}` }).cluster, 1);
      }
      return counters;
    },
  ],
];

test.each(tables)('%s takes at most %i bytes', (_what, most, make) => {
  expect(bytesOf(make) / (workloads * called)).toBeLessThan(most);
});

test('a proxy takes at most 520 bytes', () => {
  const count = 2_000;
  const make = () => {
    const proxies = createProxyTable();
    for (let round = 0; round < 2; round++)
      for (let n = 0; n < count; n++)
        proxies.report(
          parsed({
            ...{ namespace: 'shop', pod: `web-${n}`, uid: `uid-${n}`, filterVersion: '1' },
            ...{ heartbeatAt: 1e12, reportedAt: 1e12, overflow: 0, measuredAt: 1e12 },
            stats: { allocatedBytes: 1, physicalBytes: 1, clusters: n },
          }),
        );
    return proxies;
  };
  expect(bytesOf(make) / count).toBeLessThan(520);
});

test('a pair of workload and host in the history takes at most 500 bytes beside its bins', () => {
  const count = 2_000;
  const make = () => {
    const edges = createEdgeHistory(count);
    for (let n = 0; n < count; n++)
      edges.add(parsed({ namespace: 'shop', workload: `web-${n}`, host: hostOf(n) }), 1e12, 1);
    return edges;
  };
  expect(bytesOf(make) / count).toBeLessThan(500);
});

test('a Service with two endpoints takes at most 2,700 bytes', () => {
  const count = 1_000;
  const make = () => {
    const catalog = createCatalog({ clusterDomain: 'cluster.local' });
    const handler = { upsert: catalog.upsert, remove: catalog.remove };
    const [services, slices] = list(2, () => trackKnown(handler, pino({ level: 'silent' })));
    for (let n = 0; n < count; n++) {
      const path = `shop/service-${n}`;
      const ends = list(2, (each) => ({ ip: `10.${each}.${n >> 8}.${n & 255}` }));
      services?.upsert(parsed(service(path, { ip: `10.96.${n >> 8}.${n & 255}` })));
      slices?.upsert(parsed(slice(path, ends)));
    }
    return [catalog, services, slices];
  };
  expect(bytesOf(make) / count).toBeLessThan(2_700);
});

test('texts are shared by two generations at most, and never changed', () => {
  const share = createSharedTexts(100);
  const make = () => list(20_000, (n) => share(`a text that comes once, ${n}`)).length;
  expect(bytesOf(make)).toBeLessThan(100_000);
  const longest = 'x'.repeat(1_000);
  for (const text of ['', 'a text that comes once, 7', longest]) expect(share(text)).toBe(text);
});
