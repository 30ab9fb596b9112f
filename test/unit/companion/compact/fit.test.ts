import fc from 'fast-check';
import { expect, test } from 'vitest';
import { buckets } from '../../../../companion/core/compact/digests.ts';
import { type BucketSize, nextWholeBuckets } from '../../../../companion/core/compact/fit.ts';

const size = fc
  .record({ hosts: fc.nat(20), whole: fc.nat(10_000), share: fc.integer({ min: 0, max: 100 }) })
  .map(({ hosts, whole, share }): BucketSize => {
    const short = Math.floor((whole * share) / 100);
    return { hosts, whole, short: () => short };
  });
const sizes = fc.array(size, { minLength: buckets, maxLength: buckets });
const bounds = fc.record({
  hosts: fc.nat(1_500),
  known: fc.integer({ min: 200, max: 1_500 }),
  length: fc.integer({ min: 50_000, max: 700_000 }),
});

const sum = (all: readonly number[]) => all.reduce((total, each) => total + each, 0);

/** The hosts that are whole and the characters of all records, with so many buckets whole. */
function taken(all: readonly BucketSize[], whole: number) {
  const texts = all.map((each, index) => (index < whole ? each.whole : each.short()));
  return { hosts: sum(all.slice(0, whole).map(({ hosts }) => hosts)), length: sum(texts) };
}

test('as many buckets are whole as fit, and none only where not even short records do', () => {
  fc.assert(
    fc.property(sizes, bounds, (all, bound) => {
      const whole = nextWholeBuckets(all, bound, undefined);
      const fits = (count: number) => {
        const { hosts, length } = taken(all, count);
        return hosts <= bound.hosts && length <= bound.length;
      };
      if (whole === undefined) {
        const known = sum(all.map(({ hosts }) => hosts));
        expect(known > bound.known || taken(all, 0).length > bound.length).toBe(true);
        return;
      }
      expect(fits(whole)).toBe(true);
      if (whole < buckets) expect(fits(whole + 1)).toBe(false);
    }),
  );
});

test('a bucket that left for lack of room returns only with some room to spare', () => {
  const all = Array.from({ length: buckets }, () => ({
    hosts: 10,
    whole: 1_000,
    short: () => 100,
  }));
  const at = (hosts: number, current: number | undefined) =>
    nextWholeBuckets(all, { hosts, known: 1e6, length: 1e6 }, current);
  expect([at(640, undefined), at(639, undefined)]).toEqual([64, 63]);
  expect([at(640, 63), at(646, 63), at(647, 63)]).toEqual([63, 63, 64]);
  // What fits easily stays, and what is over leaves at once.
  expect([at(640, 64), at(500, 64)]).toEqual([64, 50]);
});
