import fc from 'fast-check';
import { expect, test } from 'vitest';
import { begin, everyMsOf, timeoutMsOf } from '../../../../companion/kube/election.ts';

const leaseSeconds = fc.integer({ min: 5, max: 3_600 });
const rulesOf = (seconds: number) => ({ identity: 'a', leaseSeconds: seconds });

test('every timeout is a whole number above 0, which AbortSignal requires', () => {
  fc.assert(
    fc.property(leaseSeconds, fc.double({ min: 1, max: 2_400_000, noNaN: true }), (seconds, ms) => {
      const rules = rulesOf(seconds);
      const now = { steady: 0, wall: 0 };
      const leading = { ...begin, until: { steady: ms, wall: ms } };
      for (const time of [
        everyMsOf(rules),
        timeoutMsOf(begin, now, rules),
        timeoutMsOf(leading, now, rules),
      ]) {
        expect(Number.isInteger(time)).toBe(true);
        expect(time).toBeGreaterThan(0);
        expect(() => AbortSignal.timeout(time)).not.toThrow();
      }
    }),
  );
});

test('after two requests that hang, a leader has time for a third', () => {
  fc.assert(
    fc.property(leaseSeconds, (seconds) => {
      const rules = rulesOf(seconds);
      const until = (seconds * 1000 * 2) / 3;
      const leading = { ...begin, until: { steady: until, wall: until } };
      let now = everyMsOf(rules);
      for (let hung = 0; hung < 2; hung++)
        now += timeoutMsOf(leading, { steady: now, wall: now }, rules);
      // A twentieth of the lease, which is a quarter of a second for the shortest lease.
      expect(until - now).toBeGreaterThan(seconds * 50);
    }),
  );
});
