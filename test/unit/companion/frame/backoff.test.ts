import { expect, test } from 'vitest';
import { createBackoff } from '../../../../companion/bounds/backoff.ts';

const bounds = { from: 200, to: 10_000, healthyMs: 10_000 };
const limits = [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000];

test('each failure doubles the pause up to the longest, and half of it is chance', () => {
  for (let round = 0; round < 50; round++) {
    const { pauseAfter } = createBackoff(bounds);
    for (const limit of limits) {
      const pause = pauseAfter(10);
      expect(pause).toBeGreaterThanOrEqual(limit / 2);
      expect(pause).toBeLessThanOrEqual(limit);
    }
  }
});

test.each([
  [
    'an attempt longer than the longest pause was a success, so its end is a first failure',
    10_001,
    200,
  ],
  ['an attempt as long as the longest pause was not', 10_000, 10_000],
  ['an attempt that never began was not', Number.NEGATIVE_INFINITY, 10_000],
])('%s', (_what, stoodMs, limit) => {
  const { pauseAfter } = createBackoff(bounds);
  for (const _ of limits) pauseAfter(10);
  const pause = pauseAfter(stoodMs);
  expect(pause).toBeGreaterThanOrEqual(limit / 2);
  expect(pause).toBeLessThanOrEqual(limit);
});

test('after a reset the next failure is the first', () => {
  const { pauseAfter, reset } = createBackoff(bounds);
  for (const _ of limits) pauseAfter(10);
  reset();
  expect(pauseAfter(10)).toBeLessThanOrEqual(200);
});
