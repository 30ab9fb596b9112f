import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createArrivals, gatewayLagMs } from '../../../../companion/core/first-call/arrivals.ts';

test('the age of an arrival is known while the arrival is recent, counted from its last time', () => {
  const steps = fc.array(
    fc.record({ service: fc.constantFrom('a', 'b', 'c'), pass: fc.nat(4_000) }),
  );
  fc.assert(
    fc.property(steps, (arrived) => {
      const arrivals = createArrivals();
      const last = new Map<string, number>();
      let now = 0;
      for (const { service, pass } of arrived) {
        now += pass;
        arrivals.note(service, now);
        last.set(service, now);
        for (const name of ['a', 'b', 'c']) {
          const age = now - (last.get(name) ?? Number.NEGATIVE_INFINITY);
          const expected = age < gatewayLagMs ? age : Number.POSITIVE_INFINITY;
          expect(arrivals.ageMs(name, now)).toBe(expected);
        }
      }
    }),
  );
});
