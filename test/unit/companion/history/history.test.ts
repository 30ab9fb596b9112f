import fc from 'fast-check';
import { expect, test } from 'vitest';
import { packedBytesMax } from '../../../../companion/controller/console/takeover.ts';
import { createChanges } from '../../../../companion/core/history/changes.ts';
import { createCounters, settlingMs } from '../../../../companion/core/history/counters.ts';
import { createEdgeHistory, edgesMax } from '../../../../companion/core/history/edges.ts';
import { createFigureHistory, workloadsMax } from '../../../../companion/core/history/figures.ts';
import { coveredMs, createHistory, levelFor } from '../../../../companion/core/history/history.ts';

const start = Date.parse('2026-01-01T00:00:00Z');
const second = 1_000;
const hour = 3_600_000;
const edge = (n: number) => ({ namespace: 'shop', workload: `w${n}`, host: 'shop/cart' });
const change = {
  ...{ at: start, kind: 'first-call' as const, namespace: 'shop', workload: 'web' },
  ...{ host: 'shop/cart', detail: 'gateway' },
};

test('20,000 edges and 2,000 workloads take at most 48 MB', () => {
  const edges = createEdgeHistory();
  for (let n = 0; n < edgesMax + 500; n++) edges.add(edge(n), start + n, 1);
  const figures = createFigureHistory();
  for (let n = 0; n < workloadsMax + 5; n++) {
    figures.set(`shop/w${n}`, start, { memoryBytes: 1, clusters: 1 });
  }
  expect(edges.size()).toBeLessThanOrEqual(edgesMax);
  expect(edges.evicted() + edges.size()).toBe(edgesMax + 500);
  expect(figures.evicted()).toBe(5);
  expect(edges.bytes() + figures.bytes()).toBeLessThan(48e6);
});

test('the edges that were used longest ago go first, and of these the least used', () => {
  const edges = createEdgeHistory(3);
  edges.add(edge(1), start, 9);
  edges.add(edge(2), start, 1);
  edges.add(edge(3), start + 1, 1);
  edges.add(edge(4), start + second, 1);
  const left = () =>
    edges.within(0, { from: start, to: start + 60 * second }).map((each) => each.workload);
  expect(left()).toEqual(['w1', 'w3', 'w4']);
  edges.add(edge(5), start + 12 * second, 1);
  expect(left()).toEqual(['w3', 'w4', 'w5']);
  expect(edges.evicted()).toBe(2);
});

test('a mesh with more edges in use than there is room for does not make room for each of them', () => {
  const edges = createEdgeHistory(1_000);
  const rounds = 60;
  for (let round = 0; round < rounds; round++)
    for (let n = 0; n < 3_000; n++) edges.add(edge(n), start + round * second, 1);
  const kept = edges.within(0, { from: start, to: start + hour }).map(({ total }) => total);
  expect(edges.size()).toBe(1_000);
  // Room for one in a hundred was made six times.
  expect(kept.filter((total) => total === rounds).length).toBeGreaterThanOrEqual(900);
});

test('the calls of a proxy are counted once, however often its counts are repeated', () => {
  const reports = fc.array(fc.record({ more: fc.nat(50), times: fc.integer({ min: 1, max: 3 }) }));
  fc.assert(
    fc.property(reports, (told) => {
      const counters = createCounters(start);
      let [count, calls] = [0, 0];
      for (const { more, times } of told) {
        count += more;
        for (let n = 0; n < times; n++)
          calls += counters.report('uid', start + hour)('cart', count);
      }
      expect(calls).toBe(count);
    }),
  );
});

test('what was called before a replica began is not counted as called now', () => {
  const counters = createCounters(start);
  const first = counters.report('old', start + 1_000);
  expect([first('cart', 5_000), first('pay', 70)]).toEqual([0, 0]);
  const next = counters.report('old', start + 2_000);
  expect([next('cart', 5_001), next('new', 2)]).toEqual([1, 2]);
  expect(counters.report('late', start + settlingMs)('cart', 3)).toBe(3);
});

test('a node companion that restarts counts from zero', () => {
  const counters = createCounters(start - hour);
  expect(counters.report('uid', start)('cart', 100)).toBe(100);
  expect(counters.report('uid', start)('cart', 4)).toBe(4);
});

test('counters are bounded, and those of a proxy that is gone are given back', () => {
  const counters = createCounters(start - hour, 2);
  const report = counters.report('a', start);
  expect(['x', 'y', 'z'].map((host) => report(host, 1))).toEqual([1, 1, 0]);
  expect([counters.size(), counters.refused()]).toEqual([2, 1]);
  counters.forget('a');
  expect([counters.size(), counters.report('b', start)('z', 7)]).toEqual([0, 7]);
});

test('changes are bounded, numbered upwards, and read from any number on', () => {
  const changes = createChanges(100, 10);
  for (let n = 0; n < 25; n++) changes.add({ ...change, detail: `${n}` });
  const kept = changes.since(0);
  expect(kept.length).toBeLessThanOrEqual(11);
  expect(kept.length + changes.dropped()).toBe(25);
  expect(kept.at(-1)).toMatchObject({ id: 125, detail: '24' });
  expect(changes.since(123).map(({ id }) => id)).toEqual([124, 125]);
  expect(changes.since(125)).toEqual([]);
});

test('a replica takes over the history of another one', () => {
  const old = createHistory(start);
  old.edges.add(edge(1), start + 5, 7);
  old.edges.add(edge(1), start + hour, 3);
  old.figures.set('shop/w1', start + hour, { memoryBytes: 2048, clusters: 12 });
  old.changes.add(change);
  const fresh = createHistory(start + hour);
  fresh.edges.add(edge(1), start + hour, 2);
  const take = fresh.unpack();
  for (const line of old.pack()) take(line);
  expect(fresh.beginsAt()).toBe(start);
  const day = { from: start, to: start + 2 * hour };
  for (const level of [0, 1, 2]) {
    expect(fresh.edges.within(level, day)).toEqual(old.edges.within(level, day));
  }
  expect(fresh.figures.series('shop/w1', 'memory', 1, day)).toEqual([0, 2048, 0]);
  expect(fresh.changes.since(0)).toEqual(old.changes.since(0));
  expect(fresh.changes.add(change).id).toBeGreaterThan(old.changes.newest());
});

test('a history that is full in every bin is taken over whole, within the bound of the text', () => {
  const [old, fresh] = [createHistory(start), createHistory(start)];
  const end = start + 14 * 24 * hour;
  const moments = [
    ...Array.from({ length: 312 }, (_, n) => start + n * hour),
    ...Array.from({ length: 276 }, (_, n) => end - 24 * hour + n * 300_000),
    ...Array.from({ length: 360 }, (_, n) => end - hour + n * 10_000),
  ];
  // The longest names that Kubernetes has, and counts that need all bits.
  const name = 'n'.repeat(63);
  const called = {
    namespace: name,
    workload: name,
    host: `${name}/${name}.${name}.svc.cluster.local`,
  };
  for (const at of moments) old.edges.add(called, at, 1e9 + at);
  const lines = [...old.pack()];
  const perEdge = Math.max(...lines.map((line) => line.length));
  expect(perEdge * edgesMax).toBeLessThan(packedBytesMax);
  const take = fresh.unpack();
  for (const line of lines) take(line);
  for (const level of [0, 1, 2]) {
    const range = { from: start, to: end };
    expect(fresh.edges.series(called, level, range)).toEqual(
      old.edges.series(called, level, range),
    );
  }
});

test.each([['{"edge":{}}'], ['{"layout":1}'], ['{"layout":3}'], ['no json']])(
  'the line %s begins no history',
  (line) => {
    expect(() => createHistory(start).unpack()(line)).toThrow();
  },
);

test('the finest level that still has a time is read', () => {
  const ages = [1_000, 59 * 60_000, 2 * hour, 23 * hour, 30 * hour, 1_000 * hour];
  expect(ages.map((age) => levelFor(start - age, start))).toEqual([0, 0, 1, 1, 2, 2]);
});

test('calls at a steady rate have that rate in every range, also where history is short', () => {
  const bounds = { age: fc.integer({ min: 30, max: 86_400 }), back: fc.nat(86_400) };
  const minutes = fc.constantFrom(1, 5, 60, 1_440);
  fc.assert(
    fc.property(fc.record({ ...bounds, minutes }), ({ age, back, minutes }) => {
      const now = start + age * 1_000;
      const edges = createEdgeHistory(2);
      // Ten calls a second, reported every five seconds.
      for (let at = start + 5_000; at <= now; at += 5_000) edges.add(edge(1), at, 50);
      const to = now - Math.min(back, age - 15) * 1_000;
      const range = { from: to - minutes * 60_000, to };
      const level = levelFor(range.from, now);
      const calls = edges.within(level, range).reduce((sum, each) => sum + each.calls, 0);
      const covered = coveredMs(level, range, { beginsAt: start, now });
      // At both ends a report may lie on the other side of the end.
      const seconds = covered / 1_000;
      expect(Math.abs(calls / seconds - 10)).toBeLessThanOrEqual((2 * 50) / seconds);
    }),
    { numRuns: 25 },
  );
});

test('nothing is known of the time before history begins', () => {
  const range = { from: start - hour, to: start - 60_000 };
  expect(coveredMs(0, range, { beginsAt: start, now: start + hour })).toBe(0);
});
