import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createSeriesTable } from '../../../../companion/core/history/series.ts';
import { decode, encode } from '../../../../companion/core/history/sixteen.ts';

const levels = [
  { binMs: 10, bins: 6 },
  { binMs: 50, bins: 10 },
];

test('a count survives 16 bits within 1/2,048, and exactly below 2,048', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.nat(5_000), fc.nat({ max: 4e12 }), fc.double({ min: 0, max: 4e12, noNaN: true })),
      (count) => {
        const found = decode(encode(count));
        if (count < 2_047 && Number.isInteger(count)) expect(found).toBe(count);
        else expect(Math.abs(found - count)).toBeLessThanOrEqual(Math.max(0.5, count / 2_048));
      },
    ),
  );
  expect(decode(encode(1e300))).toBe(2_047 * 2 ** 31);
  for (const none of [0, -1, Number.NaN]) expect(encode(none)).toBe(0);
});

/** Calls at times that mostly go forward, but may jump anywhere. */
const calls = fc.array(
  fc.record({
    step: fc.oneof(fc.integer({ min: 0, max: 30 }), fc.integer({ min: -400, max: 2_000 })),
    calls: fc.nat(100),
  }),
  { maxLength: 60 },
);

test('every level has the calls that its bins cover, whatever the clock does', () => {
  fc.assert(
    fc.property(calls, (steps) => {
      const table = createSeriesTable(levels, 'sum', 4);
      table.open();
      const row = table.open() as number;
      // The model: what is early counts into the newest bin.
      const model = levels.map(() => new Map<number, number>());
      let time = 1_000;
      let newest = 0;
      for (const { step, calls: more } of steps) {
        time = Math.max(0, time + step);
        newest = Math.max(newest, time);
        table.add(row, time, more);
        levels.forEach(({ binMs }, level) => {
          const bins = model[level] as Map<number, number>;
          const bin = Math.floor(newest / binMs);
          bins.set(bin, (bins.get(bin) ?? 0) + more);
        });
      }
      levels.forEach(({ binMs, bins }, level) => {
        const to = newest + 3 * binMs;
        const last = Math.floor(to / binMs);
        const newestBin = Math.floor(newest / binMs);
        const expected = Array.from({ length: Math.min(bins, last + 1) }, (_, n) => {
          const bin = last - Math.min(bins, last + 1) + 1 + n;
          return bin <= newestBin - bins ? 0 : (model[level]?.get(bin) ?? 0);
        });
        expect(table.read(row, level, { from: 0, to })).toEqual(expected);
      });
      expect(table.read(0, 0, { from: 0, to: time })).not.toContainEqual(expect.any(String));
      expect(table.read(0, 1, { from: 0, to: time }).every((each) => each === 0)).toBe(true);
    }),
  );
});

test('a row that was closed begins empty, and a full table opens none', () => {
  const table = createSeriesTable(levels, 'sum', 1);
  const row = table.open() as number;
  expect(table.open()).toBeUndefined();
  for (let at = 0; at < 100; at += 10) table.add(row, at, 5);
  table.close(row);
  expect(table.open()).toBe(row);
  expect(table.read(row, 0, { from: 0, to: 200 })).toEqual([0, 0, 0, 0, 0, 0]);
  table.add(row, 195, 1);
  expect(table.read(row, 0, { from: 150, to: 199 })).toEqual([0, 0, 0, 0, 1]);
});

test('a row that is packed and unpacked is the same row', () => {
  fc.assert(
    fc.property(calls, (steps) => {
      const [a, b] = [createSeriesTable(levels, 'sum', 1), createSeriesTable(levels, 'sum', 1)];
      const [from, to] = [a.open() as number, b.open() as number];
      b.add(to, 77, 3);
      let time = 1_000;
      for (const { step, calls: more } of steps) {
        time = Math.max(0, time + step);
        a.add(from, time, more);
      }
      b.unpack(to, JSON.parse(JSON.stringify(a.pack(from))));
      const range = { from: 0, to: time + 5 };
      for (const level of [0, 1]) {
        expect(b.read(to, level, range)).toEqual(a.read(from, level, range));
      }
    }),
  );
});
