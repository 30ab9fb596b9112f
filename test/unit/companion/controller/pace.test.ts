import { setImmediate as immediate } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createPace, type Pace } from '../../../../companion/controller/reconcile/pace.ts';

let runs: { key: string; at: number }[];
let throttled: number;
let outcome: (key: string) => Promise<'wrote' | 'nothing'>;
let pace: Pace;

function start(writesPerSecond: number): void {
  pace = createPace({
    run(key) {
      runs.push({ key, at: performance.now() });
      return outcome(key);
    },
    writesPerSecond,
    pauseMs: 1_000,
    onThrottled: () => {
      throttled += 1;
    },
    onFailed: () => undefined,
  });
}

beforeEach(() => {
  vi.useFakeTimers();
  runs = [];
  throttled = 0;
  outcome = async () => 'wrote';
});

afterEach(async () => {
  await pace.stop();
  vi.useRealTimers();
});

function times(key: string): number[] {
  const [first] = runs;
  return runs.filter((run) => run.key === key).map(({ at }) => Math.round(at - (first?.at ?? 0)));
}

test('an urgent mark runs right after this turn, so that pending answers are sent first', async () => {
  start(10);
  pace.mark('a', true);
  expect(runs).toHaveLength(0);
  await vi.advanceTimersByTimeAsync(0);
  expect(times('a')).toEqual([0]);
});

test('a key that is marked again without urgency waits a second after the write', async () => {
  start(10);
  pace.mark('a', true);
  await vi.advanceTimersByTimeAsync(100);
  pace.mark('a', false);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(times('a')).toEqual([0, 1_000]);
});

test('an urgent mark does not wait for the second', async () => {
  start(10);
  pace.mark('a', true);
  await vi.advanceTimersByTimeAsync(100);
  pace.mark('a', true);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(times('a')).toEqual([0, 100]);
});

test('urgent marks of a burst become one run, after the time that the first of them gave', async () => {
  start(10);
  for (let n = 0; n < 3; n++) {
    pace.mark('a', true, 30);
    await vi.advanceTimersByTimeAsync(9);
  }
  expect(runs).toHaveLength(0);
  await vi.advanceTimersByTimeAsync(4);
  expect(runs).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(runs).toHaveLength(1);
});

test('a mark that is due at once does not wait for one that is due later', async () => {
  start(10);
  pace.mark('b', true);
  pace.mark('a', true, 30);
  await vi.advanceTimersByTimeAsync(5);
  pace.mark('a', true);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(times('a')).toEqual([5]);
});

test('marks during a run become one more run', async () => {
  let finish = () => {};
  outcome = () =>
    new Promise((resolve) => {
      finish = () => resolve('wrote');
    });
  start(10);
  pace.mark('a', true);
  await vi.advanceTimersByTimeAsync(0);
  for (let n = 0; n < 5; n++) pace.mark('a', true);
  expect(runs).toHaveLength(1);
  finish();
  await vi.advanceTimersByTimeAsync(0);
  expect(runs).toHaveLength(2);
  finish();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(runs).toHaveLength(2);
});

test('writes over all keys keep to the rate, urgent ones first', async () => {
  start(2);
  for (const key of ['a', 'b', 'c', 'd']) pace.mark(key, false);
  await vi.advanceTimersByTimeAsync(10);
  pace.mark('urgent', true);
  expect(runs.map(({ key }) => key)).toEqual(['a', 'b']);
  expect(throttled).toBeGreaterThan(0);
  await vi.advanceTimersByTimeAsync(600);
  expect(runs.map(({ key }) => key)).toEqual(['a', 'b', 'urgent']);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(runs.map(({ key }) => key)).toEqual(['a', 'b', 'urgent', 'c', 'd']);
});

test('evaluations without a write do not count for the rate', async () => {
  outcome = async () => 'nothing';
  start(2);
  for (let n = 0; n < 1_000; n++) pace.mark(`k${n}`, false);
  await vi.advanceTimersByTimeAsync(100);
  expect(runs).toHaveLength(1_000);
  expect(pace.pending()).toBe(0);
});

test('a failure is repeated with growing pauses, even if it is urgent', async () => {
  outcome = async () => {
    throw new Error('away');
  };
  start(100);
  pace.mark('a', true);
  for (let n = 0; n < 600; n++) {
    await vi.advanceTimersByTimeAsync(100);
    pace.mark('a', true);
  }
  expect(runs.length).toBeGreaterThan(4);
  // Four pauses that double from half a second, and then pauses of at least 2.5 s.
  expect(runs.length).toBeLessThan(30);
  outcome = async () => 'wrote';
  await vi.advanceTimersByTimeAsync(5_000);
  expect(pace.pending()).toBe(0);
});

test('nothing starts after stop, which waits for the running work', async () => {
  let finish = () => {};
  outcome = () =>
    new Promise((resolve) => {
      finish = () => resolve('wrote');
    });
  start(10);
  pace.mark('a', true);
  await vi.advanceTimersByTimeAsync(0);
  pace.mark('a', true);
  const stopped = pace.stop();
  finish();
  await stopped;
  await vi.advanceTimersByTimeAsync(5_000);
  expect(runs).toHaveLength(1);
});

test('work that waits for nothing gives way to the rest of the process every few milliseconds', async () => {
  vi.useRealTimers();
  outcome = async () => {
    const end = performance.now() + 1;
    while (performance.now() < end);
    return 'nothing';
  };
  start(1_000);
  for (let n = 0; n < 200; n++) pace.mark(`k${n}`, false);
  let turns = 0;
  while (pace.pending() > 0) {
    await immediate();
    turns += 1;
  }
  expect(runs).toHaveLength(200);
  // 200 ms of work, in turns of 5 ms or a little more.
  expect(turns).toBeGreaterThan(10);
});

/**
 * Counts the steps of all iterators of Map and Set while `work` runs. A loop over all entries shows
 * as many steps.
 */
async function stepsOf(work: () => Promise<void>): Promise<number> {
  let steps = 0;
  const prototypes = [new Map().values(), new Set().values()].map(Object.getPrototypeOf);
  const spies = prototypes.map((prototype) => {
    const { next } = prototype;
    prototype.next = function step(...args: unknown[]) {
      steps += 1;
      return next.apply(this, args);
    };
    return () => {
      prototype.next = next;
    };
  });
  try {
    await work();
  } finally {
    for (const restore of spies) restore();
  }
  return steps;
}

test.each([
  ['that write nothing', 'nothing', 1_000_000],
  ['that all write', 'wrote', 1_000_000],
  ['that wait for the rate', 'wrote', 100],
] as const)(
  'entries %s cost steps in proportion to their number, not to its square',
  async (_, result, rate) => {
    outcome = async () => result;
    start(rate);
    const count = 4_000;
    const steps = await stepsOf(async () => {
      for (let n = 0; n < count; n++) pace.mark(`k${n}`, false);
      await vi.advanceTimersByTimeAsync(60_000);
    });
    expect(runs).toHaveLength(count);
    expect(pace.pending()).toBe(0);
    expect(steps).toBeLessThan(count * 20);
  },
);
