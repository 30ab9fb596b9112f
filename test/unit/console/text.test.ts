import { expect, test } from 'vitest';
import { count, durationText, megabytes, rateText, timeText } from '../../../console/text.ts';

test.each([
  [0, '–'],
  [1 / 3_600, '1.0/h'],
  [0.5 / 60, '30.0/h'],
  [0.5, '30.0/min'],
  [1, '1.0/s'],
  [52.44, '52.4/s'],
])('a rate of %s calls a second is %s', (rate, text) => {
  expect(rateText(rate)).toBe(text);
});

test.each([
  [0, '–'],
  [10.24e6, '10.2 MB'],
  [373e6, '373 MB'],
  [2.694e9, '2.69 GB'],
  [25e9, '25.0 GB'],
])('%s bytes are %s', (bytes, text) => {
  expect(megabytes(bytes)).toBe(text);
});

test.each([
  [90_000, '90 s'],
  [3_900_000, '65 min'],
  [3 * 3_600_000, '3 h'],
  [5 * 86_400_000, '5 days'],
])('%s ms last %s', (ms, text) => {
  expect(durationText(ms)).toBe(text);
});

test('what was not measured is no number', () => {
  expect([count(0), count(2_059), timeText(0)]).toEqual(['–', (2_059).toLocaleString(), '–']);
});

test('a time of today is the time of day; midnight is 00; another year has its number', () => {
  const midnight = new Date();
  midnight.setHours(0, 0, 0, 0);
  expect(timeText(midnight.getTime())).toBe('00:00:00');
  const then = new Date(2024, 4, 17, 13, 5, 9);
  expect(timeText(then.getTime())).toMatch(/2024/);
  expect(timeText(then.getTime())).toMatch(/13:05:09$/);
});
