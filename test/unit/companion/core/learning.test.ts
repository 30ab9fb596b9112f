import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  learningMsOf,
  type Watched,
  type WatchedInput,
  watchedOf,
} from '../../../../companion/core/scope/learning.ts';

const never: Watched = { learningSince: undefined, silentSince: undefined };
const all = { total: 2, live: 2, silentMs: 0 };
const starting = { total: 3, live: 2, silentMs: 5_000 };
const silent = { total: 2, live: 1, silentMs: 300_001 };
const gone = { total: 0, live: 0, silentMs: 0 };
const windowMs = 86_400_000;

function step(before: Watched, proxies: WatchedInput['proxies'], now: number): Watched {
  return watchedOf({ before, proxies, silenceMs: 300_000, learningWindowMs: windowMs, now });
}

test('learning begins when every proxy reports for the first time', () => {
  expect(step(never, starting, 1_000)).toEqual(never);
  expect(learningMsOf(never, windowMs, 1_000)).toBe(windowMs);
  const begun = step(never, all, 2_000);
  expect(begun.learningSince).toBe(2_000);
  expect(learningMsOf(begun, windowMs, 2_000 + windowMs)).toBe(0);
});

test('a new pod, a workload without pods, and a short outage do not restart learning', () => {
  let watched = step(never, all, 0);
  for (const [at, proxies] of [
    [1_000, starting],
    [2_000, all],
    [3_000, gone],
    [400_000, silent],
    [500_000, all],
  ] as const) {
    watched = step(watched, proxies, at);
  }
  expect(watched).toEqual({ learningSince: 0, silentSince: undefined });
});

test('a gap longer than the window restarts learning', () => {
  const since = 10 * windowMs;
  const lost = step(step(never, all, 0), silent, since);
  expect(lost).toEqual({ learningSince: 0, silentSince: since - 300_001 });
  const back = since + windowMs;
  expect(step(lost, all, back)).toEqual({ learningSince: back, silentSince: undefined });
  expect(step(lost, all, back - 300_001).learningSince).toBe(0);
});

test('the window is never over before its length has passed since every proxy first reported', () => {
  const states = fc.constantFrom(all, starting, silent, gone);
  const steps = fc.array(fc.tuple(fc.nat(windowMs), states), { maxLength: 30 });
  fc.assert(
    fc.property(steps, (script) => {
      let [now, watched] = [0, never];
      let first: number | undefined;
      for (const [pause, proxies] of script) {
        now += pause;
        watched = step(watched, proxies, now);
        if (proxies === all) first ??= now;
        if (learningMsOf(watched, windowMs, now) > 0) continue;
        expect(first).toBeDefined();
        expect(now - (first ?? now)).toBeGreaterThanOrEqual(windowMs);
      }
    }),
  );
});
