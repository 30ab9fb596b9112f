import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type PodRecord, readPod } from '../../../../companion/core/mesh/pod-record.ts';
import { createNodeStreams } from '../../../../companion/core/scope/node-streams.ts';
import { createProxyTable } from '../../../../companion/core/scope/proxies.ts';
import {
  createWithdrawalBudget,
  gainBytesOf,
  pendingOf,
  unmeasuredGainBytes,
} from '../../../../companion/core/scope/withdrawal.ts';
import { pod } from './objects.ts';

const silenceMs = 420_000;
const minuteMs = 60_000;
const limit = { workloadsPerMinute: 2, bytesPerMinute: 2e9 };

describe('a pod is on a lost node', () => {
  const ready = (status: string, reason?: string) => ({ type: 'Ready', status, reason });
  const containers = (status: string) => ({ type: 'ContainersReady', status });
  const read = (...conditions: { type: string; status: string; reason?: string | undefined }[]) =>
    readPod(pod('shop/web', { conditions: conditions as never })).nodeLost;

  test('when the node controller says so, without a reason', () => {
    expect(read(ready('False'), containers('True'))).toBe(true);
  });
  test('not when its kubelet reports that the app, or a readiness gate, is not ready', () => {
    expect(read(ready('False', 'ContainersNotReady'), containers('False'))).toBe(false);
    expect(read(ready('False', 'ReadinessGatesNotReady'), containers('True'))).toBe(false);
    expect(read(ready('False'), containers('False'))).toBe(false);
    expect(read(ready('True'), containers('True'))).toBe(false);
    expect(read()).toBe(false);
  });
});

/** Workloads with so many pods each, spread over nodes, and the faults that may affect them. */
function mesh(workloads: number, pods: number, nodes: number) {
  let now = 1_000_000;
  const streams = createNodeStreams();
  const table = createProxyTable(streams);
  const budget = createWithdrawalBudget(limit, () => now);
  const gone = new Set<number>();
  const broken = new Set<string>();
  const down = new Set<string>();
  const lost = new Set<string>();
  const names = Array.from({ length: nodes }, (_, n) => `node-${n}`);
  const nodeOf = (w: number, p: number) => names[(w + p) % nodes] ?? '';
  const all = Array.from({ length: workloads }, (_, w) =>
    Array.from({ length: pods }, (_, p) =>
      readPod(pod(`shop/w${w}-${p}`, { ip: `10.${w}.0.${p}`, node: nodeOf(w, p) })),
    ),
  );
  for (const name of names) streams.opened(name, now);

  function hear({ namespace, name, uid, node }: PodRecord): void {
    if (down.has(node) || lost.has(node) || broken.has(name)) return;
    const told = { filterVersion: '1', overflow: 0, stats: undefined, measuredAt: 0 };
    table.report({ ...told, namespace, pod: name, uid, heartbeatAt: now, reportedAt: now });
  }

  return {
    broken,
    names,
    down(node: string) {
      if (!down.has(node) && !lost.has(node)) streams.closed(node);
      down.add(node);
    },
    up(node: string) {
      if (down.delete(node) && !lost.has(node)) streams.opened(node, now);
    },
    lose(node: string) {
      if (!down.has(node) && !lost.has(node)) streams.closed(node);
      lost.add(node);
    },
    /** Advances ten seconds. Returns the workloads that lose their scope in this step. */
    step(gainBytes = 1e6): { withdrawn: number[]; pending: Set<string> } {
      now += 10_000;
      for (const each of all.flat()) hear(each);
      const pending = new Set<string>();
      const withdrawn = all.flatMap((group, w) => {
        if (gone.has(w)) return [];
        const seen = group.map((each) => ({ ...each, nodeLost: lost.has(each.node) }));
        const count = table.count(seen, now);
        if (count.quorumMs > silenceMs && budget.admit(`w${w}`, gainBytes)) {
          gone.add(w);
          return w;
        }
        const waits = pendingOf(count, silenceMs);
        if (waits) pending.add(waits.reason);
        return [];
      });
      return { withdrawn, pending };
    },
  };
}

type Fault = { kind: 'lose' | 'down' | 'up' | 'break'; at: number; which: number };
const faults: fc.Arbitrary<Fault[]> = fc.array(
  fc.record({
    kind: fc.constantFrom('lose', 'down', 'up', 'break'),
    at: fc.nat(80),
    which: fc.nat(29),
  }),
  { maxLength: 40 },
);

test('no sequence of lost nodes and companions withdraws a scope that broken filters would not', () => {
  fc.assert(
    fc.property(faults, (list) => {
      const world = mesh(6, 5, 4);
      const steps: number[] = [];
      const brokenOf = (w: number) =>
        [...world.broken].filter((name) => name.startsWith(`w${w}-`)).length;
      for (let n = 0; n < 120; n++) {
        for (const { kind, which } of list.filter(({ at }) => at === n)) {
          const node = world.names[which % world.names.length] ?? '';
          if (kind === 'break') world.broken.add(`w${which % 6}-${which % 5}`);
          else world[kind](node);
        }
        for (const w of world.step().withdrawn) {
          // Two of five pods are more than a quarter. One of five is not.
          expect(brokenOf(w)).toBeGreaterThanOrEqual(2);
          steps.push(n);
        }
      }
      // Six steps are one minute.
      for (const first of steps) {
        const within = steps.filter((n) => n >= first && n < first + 6).length;
        expect(within).toBeLessThanOrEqual(2 * limit.workloadsPerMinute);
      }
    }),
    { numRuns: 15 },
  );
});

test('a companion that crash-loops withdraws no scope, and the reason is reported', () => {
  const world = mesh(6, 3, 3);
  const pending = new Set<string>();
  // While the node's companion is up, no broken filter on that node reports to it.
  for (let w = 0; w < 6; w++) world.broken.add(`w${w}-${(4 - (w % 3)) % 3}`);
  for (let n = 0; n < 200; n++) {
    if (n % 4 === 0) world.up('node-1');
    else if (n % 4 === 1) world.down('node-1');
    const step = world.step();
    expect(step.withdrawn).toEqual([]);
    for (const reason of step.pending) pending.add(reason);
  }
  expect([...pending]).toEqual(['NodeUnheard']);
});

test('a controller without any node’s reports withdraws no scope', () => {
  const world = mesh(20, 3, 3);
  for (const node of world.names) world.down(node);
  const steps = Array.from({ length: 100 }, () => world.step());
  expect(steps.flatMap(({ withdrawn }) => withdrawn)).toEqual([]);
  expect([...(steps.at(-1)?.pending ?? [])]).toEqual(['Deaf']);
});

test('a broken filter in one workload withdraws its scope soon, even while nodes are lost', () => {
  const world = mesh(20, 4, 8);
  world.lose('node-7');
  world.broken.add('w0-0');
  const steps = Array.from({ length: 60 }, () => world.step().withdrawn);
  const first = steps.findIndex((withdrawn) => withdrawn.includes(0));
  expect(first * 10_000).toBeGreaterThanOrEqual(silenceMs - 10_000);
  expect(first * 10_000).toBeLessThanOrEqual(silenceMs + 30_000);
  expect(new Set(steps.flat())).toEqual(new Set([0]));
});

test('one broken pod of many withdraws no scope, and is reported', () => {
  const world = mesh(1, 20, 4);
  world.broken.add('w0-3');
  const steps = Array.from({ length: 80 }, () => world.step());
  expect(steps.flatMap(({ withdrawn }) => withdrawn)).toEqual([]);
  expect([...(steps.at(-1)?.pending ?? [])]).toEqual(['BelowQuorum']);
});

test('if all filters break at once, scopes are withdrawn at the rate of the budget, in workloads and in bytes', () => {
  const gone = (gainBytes: number) => {
    const world = mesh(30, 2, 2);
    for (let w = 0; w < 30; w++) for (const p of [0, 1]) world.broken.add(`w${w}-${p}`);
    const steps = Array.from({ length: 43 + 60 }, () => world.step(gainBytes).withdrawn);
    return steps.flat().length;
  };
  // Ten minutes after the silence is certain: the bucket, and two workloads a minute.
  expect(gone(1e6)).toBeLessThanOrEqual(2 + 2 * 10);
  expect(gone(1e6)).toBeGreaterThanOrEqual(18);
  // Each workload gains the bytes of three minutes of the budget.
  expect(gone(6e9)).toBeLessThanOrEqual(1 + Math.ceil(10 / 3));
  expect(gone(6e9)).toBeGreaterThanOrEqual(3);
});

test('the budget: in m minutes at most the budget of m + 1 minutes and one workload is spent', () => {
  const asks = fc.array(fc.record({ afterMs: fc.nat(40_000), bytes: fc.nat(5e9) }), {
    minLength: 1,
    maxLength: 60,
  });
  fc.assert(
    fc.property(asks, (list) => {
      let now = 0;
      const budget = createWithdrawalBudget(limit, () => now);
      const taken: { at: number; bytes: number }[] = [];
      for (const [index, { afterMs, bytes }] of list.entries()) {
        now += afterMs;
        if (!budget.admit(String(index), bytes)) continue;
        expect(budget.admit(String(index), bytes)).toBe(true);
        taken.push({ at: now, bytes });
      }
      for (const [first, { at: from }] of taken.entries()) {
        for (let last = first; last < taken.length; last++) {
          const span = taken.slice(first, last + 1);
          const minutes = ((span.at(-1)?.at ?? from) - from) / minuteMs;
          expect(span.length).toBeLessThanOrEqual((minutes + 1) * 2 + 1e-6);
          const before = span.slice(0, -1).reduce((sum, { bytes }) => sum + bytes, 0);
          expect(before).toBeLessThanOrEqual((minutes + 1) * limit.bytesPerMinute + 1);
        }
      }
    }),
  );
});

test('the gain of a workload is the measured gain, or the gain in a large mesh', () => {
  const memory = { beforeBytes: 736e6, afterBytes: 13e6 };
  expect(gainBytesOf({ memory } as never, 20)).toBe(20 * 723e6);
  expect(gainBytesOf({ memory: { beforeBytes: 5, afterBytes: 13e6 } } as never, 3)).toBe(0);
  expect(gainBytesOf(undefined, 3)).toBe(3 * unmeasuredGainBytes);
});
