import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { podOf, testClock, testMetrics } from '../../../../box/played/fixtures.ts';
import { epochOf, filterReport } from '../../../../box/played/report-body.ts';
import type { FilterReport } from '../../../../companion/contract/filter-report.ts';
import { createAggregate } from '../../../../companion/node/aggregate.ts';
import { type AggregateBounds, aggregateBounds } from '../../../../companion/node/observed.ts';

const pod = podOf('cart');

function setUp(bounds: Partial<AggregateBounds> = {}) {
  const clock = testClock();
  const { metrics, value } = testMetrics();
  const aggregate = createAggregate({
    metrics,
    now: clock.now,
    bounds: { ...aggregateBounds, ...bounds },
  });
  const counts = () => {
    const proxy = aggregate.get(pod.uid);
    const used = [...(proxy?.destinations.values() ?? [])];
    return Object.fromEntries(used.map(({ edge, count }) => [edge.cluster ?? '', count]));
  };
  return { aggregate, clock, value, counts };
}

/** The reports of one VM that never got an acknowledgement. Each report has all counts so far. */
function reportsOf(epoch: string, steps: { cluster: string; more: number }[]): FilterReport[] {
  const counts: Record<string, number> = {};
  return steps.map(({ cluster, more }, index) => {
    counts[cluster] = (counts[cluster] ?? 0) + more;
    return filterReport(epoch, index + 1, counts);
  });
}

const step = fc.record({
  cluster: fc.constantFrom('a', 'b', 'c', 'd'),
  more: fc.integer({ min: 1, max: 1000 }),
});
const lives = fc.array(fc.array(step, { minLength: 1, maxLength: 10 }), {
  minLength: 1,
  maxLength: 5,
});

describe('the counts of a proxy', () => {
  it('are the sums over its filter VMs, whatever was lost, repeated or reordered', () => {
    fc.assert(
      fc.property(lives, fc.infiniteStream(fc.nat()), (vms, choices) => {
        const { aggregate, counts } = setUp();
        const reports = vms.map((steps, index) => reportsOf(`vm${index}`, steps));
        const all = reports.flat();
        // This delivers as many reports as there are, drawn with repetition, so that some never
        // arrive.
        for (let i = 0; i < all.length; i++) {
          const drawn = all[(choices.next().value as number) % all.length] as FilterReport;
          aggregate.record(pod, drawn);
        }
        for (const last of reports.map((ofVm) => ofVm.at(-1) as FilterReport)) {
          aggregate.record(pod, last);
        }
        const truth: Record<string, number> = {};
        for (const { cluster, more } of vms.flat()) truth[cluster] = (truth[cluster] ?? 0) + more;
        expect(counts()).toEqual(truth);
      }),
    );
  });

  it('never go down, and never exceed what happened, at any moment', () => {
    fc.assert(
      fc.property(lives, fc.infiniteStream(fc.nat()), (vms, choices) => {
        const { aggregate, counts } = setUp();
        const all = vms.flatMap((steps, index) => reportsOf(`vm${index}`, steps));
        const truth: Record<string, number> = {};
        for (const { cluster, more } of vms.flat()) truth[cluster] = (truth[cluster] ?? 0) + more;
        let before: Record<string, number> = {};
        for (let i = 0; i < all.length * 2; i++) {
          aggregate.record(pod, all[(choices.next().value as number) % all.length] as FilterReport);
          const after = counts();
          for (const [cluster, count] of Object.entries(after)) {
            expect(count).toBeGreaterThanOrEqual(before[cluster] ?? 0);
            expect(count).toBeLessThanOrEqual(truth[cluster] ?? 0);
          }
          before = after;
        }
      }),
    );
  });

  it('add the whole count of a destination that the filter had forgotten and sees again', () => {
    const { aggregate, counts } = setUp();
    aggregate.record(pod, filterReport('vm', 1, { a: 10 }));
    aggregate.record(pod, filterReport('vm', 2, { a: 3 }));
    expect(counts()).toEqual({ a: 13 });
    aggregate.record(pod, filterReport('vm', 1, { a: 10 }));
    expect(counts()).toEqual({ a: 13 });
  });

  it('survive the end of the VM that counted them', () => {
    const { aggregate, clock, counts } = setUp({ vmSilenceMs: 1000 });
    aggregate.record(pod, filterReport('old', 1, { a: 5 }));
    clock.pass(1000);
    aggregate.record(pod, filterReport('new', 1, { a: 2 }));
    expect(counts()).toEqual({ a: 7 });
    expect(aggregate.get(pod.uid)?.vms.size).toBe(1);
  });

  it('stay whole numbers when a filter sends the largest there is', () => {
    const { aggregate, counts } = setUp();
    aggregate.record(pod, filterReport('x', 1, { a: 2 ** 64 }));
    aggregate.record(pod, filterReport('y', 1, { a: 2 ** 64 }));
    expect(counts()).toEqual({ a: Number.MAX_SAFE_INTEGER });
  });
});

describe('the outcome of a report', () => {
  it('reports the first sight of a proxy and of each of its destinations', () => {
    const { aggregate } = setUp();
    expect(aggregate.record(podOf('new'), filterReport('z', 1, {})).firstSight).toBe(true);
    expect(aggregate.record(podOf('new'), filterReport('z', 2, {})).firstSight).toBe(false);
    expect(aggregate.record(pod, filterReport('x', 1, { a: 1 })).firstSight).toBe(true);
    expect(aggregate.record(pod, filterReport('x', 2, { a: 2 })).firstSight).toBe(false);
    expect(aggregate.record(pod, filterReport('y', 1, { a: 1 })).firstSight).toBe(false);
    expect(aggregate.record(pod, filterReport('y', 2, { b: 1 })).firstSight).toBe(true);
  });

  it('asks for everything if this process does not have the acknowledged counts', () => {
    const { aggregate } = setUp();
    expect(aggregate.record(pod, filterReport('x', 7, { a: 1 })).whole).toBe(false);
    expect(aggregate.record(pod, filterReport('x', 8, { a: 1, b: 4 })).whole).toBe(true);
    expect(aggregate.record(pod, filterReport('y', 1, {})).whole).toBe(true);
  });
});

describe('changes', () => {
  it('are reported once to each reader, with their age', () => {
    const { aggregate, clock } = setUp();
    aggregate.record(pod, filterReport('x', 1, { a: 1, b: 1 }));
    const proxy = aggregate.get(pod.uid);
    if (!proxy) throw new Error('no proxy');
    const read = proxy.version;
    clock.pass(61_500);
    aggregate.record(pod, filterReport('x', 2, { a: 1, b: 9 }));
    expect(aggregate.changesSince(proxy, read)).toEqual([
      { cluster: 'b', secondsSinceSeen: 0, count: 9 },
    ]);
    expect(aggregate.changesSince(proxy, 0)).toEqual([
      { cluster: 'a', secondsSinceSeen: 61, count: 1 },
      { cluster: 'b', secondsSinceSeen: 0, count: 9 },
    ]);
    expect(aggregate.changesSince(proxy, proxy.version)).toEqual([]);
  });
});

const range = (length: number) => Array.from({ length }, (_, n) => n);

/** A report of requests that met no route. */
function outside(vm: string, sequence: number, names: string[], count = 1): FilterReport {
  const entries = names.map((authority) => ({
    destination: { kind: 'http' as const, authority, address: '203.0.113.1:443' },
    count: BigInt(count),
  }));
  return { ...filterReport(vm, sequence, {}), entries };
}

describe('bounds', () => {
  it('drop the destination that changed longest ago, count it, and report it as overflow', async () => {
    const { aggregate, value, counts } = setUp({ destinationsPerProxy: 2 });
    aggregate.record(pod, filterReport('x', 1, { a: 1, b: 1 }));
    aggregate.record(pod, filterReport('x', 2, { a: 2, c: 1 }));
    expect(counts()).toEqual({ a: 2, c: 1 });
    expect(aggregate.get(pod.uid)?.overflow).toBe(1);
    expect(await value('node_evicted_total', { table: 'destinations' })).toBe(1);
  });

  it('keep no more counters on the node than allowed, and free the counters of a pod that is gone', async () => {
    const { aggregate, value } = setUp({ counters: 3 });
    aggregate.record(pod, filterReport('x', 1, { a: 1, b: 1, c: 1, d: 1 }));
    expect(await value('node_counters')).toBe(3);
    expect(aggregate.get(pod.uid)?.overflow).toBe(1);
    aggregate.forget(pod.uid);
    expect(await value('node_counters')).toBe(0);
    aggregate.record(podOf('other'), filterReport('y', 1, { a: 1, b: 1 }));
    expect(await value('node_counters')).toBe(2);
  });

  it('let no pod take the counters of its neighbours: the one with the most makes room', async () => {
    const { aggregate, value } = setUp({ counters: 1_000, destinationsPerProxy: 400 });
    const many = Object.fromEntries(range(300).map((n) => [`host-${n}`, 1]));
    for (const vm of ['a', 'b', 'c', 'd', 'e']) aggregate.record(pod, filterReport(vm, 1, many));
    for (const name of range(20).map((n) => `neighbour-${n}`)) {
      const { whole } = aggregate.record(podOf(name), filterReport('x', 1, { u: 1, v: 1, w: 1 }));
      expect(whole).toBe(true);
      expect(aggregate.get(podOf(name).uid)?.destinations.size).toBe(3);
      expect(aggregate.get(podOf(name).uid)?.overflow).toBe(0);
    }
    expect(await value('node_counters')).toBeLessThanOrEqual(1_000);
    // The VM that lost its counters is asked for everything.
    expect(aggregate.record(pod, filterReport('a', 2, {})).whole).toBe(false);
  });

  it('lose nothing of a caller of ever new outside hosts, because the evicted ones are reported', async () => {
    const { aggregate, clock, value } = setUp();
    aggregate.record(pod, filterReport('x', 1, { 'outbound|80||cart': 1 }));
    for (let minute = 0; minute < 120; minute++) {
      aggregate.record(
        pod,
        outside(
          'x',
          minute + 2,
          range(40).map((n) => `${minute}-${n}.example`),
        ),
      );
      clock.pass(60_000);
    }
    expect(aggregate.get(pod.uid)?.overflow).toBe(0);
    expect(aggregate.get(pod.uid)?.destinations.has('outbound|80||cart')).toBe(true);
    expect(aggregate.get(pod.uid)?.destinations.size).toBe(aggregateBounds.destinationsPerProxy);
    expect(await value('node_evicted_total', { table: 'destinations' })).toBe(0);
    expect(await value('node_evicted_total', { table: 'reported' })).toBe(120 * 40 + 1 - 1_024);
  });

  it('count what a caller of more hosts a minute than they keep may have lost', () => {
    const { aggregate } = setUp();
    for (let second = 0; second < 30; second++) {
      aggregate.record(
        pod,
        outside(
          'x',
          second + 1,
          range(100).map((n) => `${second}-${n}.example`),
        ),
      );
    }
    expect(aggregate.get(pod.uid)?.overflow).toBe(30 * 100 - 1_024);
  });

  it('hold the same set of unknown destinations as the table, whatever is used and evicted', () => {
    const use = fc.record({ isOutside: fc.boolean(), name: fc.integer({ min: 0, max: 30 }) });
    fc.assert(
      fc.property(fc.array(use, { maxLength: 100 }), (uses) => {
        const { aggregate, clock } = setUp({ destinationsPerProxy: 8 });
        uses.forEach(({ isOutside, name }, index) => {
          clock.pass(10_000);
          const report = isOutside
            ? outside('x', index + 1, [`${name}.example`], index + 1)
            : filterReport('x', index + 1, { [`outbound|80||h${name}`]: index + 1 });
          aggregate.record(pod, report);
        });
        const { destinations, unknown } = aggregate.get(pod.uid) ?? {};
        const kept = [...(destinations ?? [])].filter(([, { edge }]) => edge.unknown);
        expect([...(unknown ?? [])]).toEqual(kept.map(([key]) => key));
        expect(destinations?.size ?? 0).toBeLessThanOrEqual(8);
      }),
    );
  });

  it('keep no more VMs of a proxy than allowed, dropping the one silent longest', () => {
    const { aggregate } = setUp({ vmsPerProxy: 2 });
    for (const epoch of ['x', 'y', 'x', 'z'])
      aggregate.record(pod, filterReport(epoch, 1, { a: 1 }));
    expect([...(aggregate.get(pod.uid)?.vms.keys() ?? [])]).toEqual(['x', 'z'].map(epochOf));
  });

  it('hold against ten thousand invented names', async () => {
    const { aggregate, value } = setUp();
    for (let i = 0; i < 10_000; i++) {
      aggregate.record(pod, filterReport('x', i + 1, { [`name-${i}`]: 1 }));
    }
    expect(aggregate.get(pod.uid)?.destinations.size).toBe(aggregateBounds.destinationsPerProxy);
    expect(await value('node_counters')).toBe(aggregateBounds.destinationsPerProxy);
  });

  it('refuse names that are too long or not printable', async () => {
    const { aggregate, value, counts } = setUp();
    aggregate.record(pod, filterReport('x', 1, { ['a'.repeat(600)]: 1, 'b\u0007': 1, c: 1 }));
    expect(counts()).toEqual({ c: 1 });
    expect(await value('node_evicted_total', { table: 'names' })).toBe(2);
  });
});

test('a companion that restarts tells controllers only the calls that it heard of itself', () => {
  const { aggregate, counts } = setUp();
  const told = () => {
    const proxy = aggregate.get(pod.uid);
    return proxy && aggregate.changesSince(proxy, 0).map(({ count }) => count);
  };
  aggregate.record(pod, filterReport('vm', 7, { a: 1_000 }));
  expect([told(), counts()]).toEqual([[0], { a: 1_000 }]);
  aggregate.record(pod, filterReport('vm', 8, { a: 1_003 }));
  aggregate.record(pod, filterReport('new', 1, { a: 2 }));
  expect(told()).toEqual([5]);
});
