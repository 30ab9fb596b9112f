import fc from 'fast-check';
import { expect, test } from 'vitest';
import { median, percentile } from '../statistics.ts';

test('a percentile is by nearest rank, whatever the order', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect([0, 0.5, 0.99, 1].map((share) => percentile(hundred, share))).toEqual([1, 50, 99, 100]);
  expect(percentile([7], 0.99)).toBe(7);
});

test('a percentile is one of the samples, and at least its share of them do not exceed it', () => {
  const samples = fc.array(fc.integer(), { minLength: 1 });
  fc.assert(
    fc.property(samples, fc.double({ min: 0, max: 1, noNaN: true }), (values, share) => {
      const at = percentile(values, share);
      expect(values).toContain(at);
      const below = values.filter((value) => value <= at).length;
      expect(below / values.length).toBeGreaterThanOrEqual(share);
    }),
  );
});

test('a median halves: the middle, or the mean of the two in the middle', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
});

test('of nothing there is neither', () => {
  expect([median([]), percentile([], 0.5)]).toEqual([Number.NaN, Number.NaN]);
});
