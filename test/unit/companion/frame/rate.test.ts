import fc from 'fast-check';
import { expect, it } from 'vitest';
import { testClock } from '../../../../box/played/fixtures.ts';
import { createRateLimit } from '../../../../companion/bounds/rate.ts';

it('lets through at most the burst plus the rate, in any time', () => {
  const pauses = fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(pauses, (steps) => {
      const clock = testClock();
      const limit = createRateLimit({ perSecond: 20, burst: 5 }, clock.now);
      let taken = 0;
      let passed = 0;
      for (const ms of steps) {
        clock.pass(ms);
        passed += ms;
        if (limit.take('pod')) taken += 1;
      }
      expect(taken).toBeLessThanOrEqual(5 + (passed * 20) / 1000);
    }),
  );
});

it('counts each pod for itself', () => {
  const limit = createRateLimit({ perSecond: 1, burst: 1 }, testClock().now);
  expect([limit.take('a'), limit.take('a'), limit.take('b')]).toEqual([true, false, true]);
});

it('lets a pod continue at its rate after a burst', () => {
  const clock = testClock();
  const limit = createRateLimit({ perSecond: 10, burst: 2 }, clock.now);
  expect([limit.take('a'), limit.take('a'), limit.take('a')]).toEqual([true, true, false]);
  clock.pass(100);
  expect([limit.take('a'), limit.take('a')]).toEqual([true, false]);
});
