import { expect, test } from 'vitest';
import type { Outcome } from '../../gate/reports.ts';
import { announcement, failedTest, summaryOf } from '../../gate/summary.ts';

const outcome = (name: string, more: Partial<Outcome>): Outcome => ({
  ...{ name, seconds: 10, passed: 0, failed: 0, missing: [], failures: [], notes: [] },
  ...more,
});

const options = { seconds: 125, missingFails: false };

test('the last line is the total of all groups', () => {
  const outcomes = [outcome('a', { passed: 3 }), outcome('b', { passed: 1, failed: 2 })];
  expect(summaryOf(outcomes, {}, options).slice(-2)).toEqual(['all in 2:05', '4 passed, 2 failed']);
});

test('a group that cannot run is listed with the reason, and fails the gate if it is required', () => {
  const outcomes = [outcome('mesh', { missing: ['root is needed'] })];
  const lines = summaryOf(outcomes, {}, options);
  expect(lines.join('\n')).toContain('DID NOT RUN: mesh, because\n- root is needed');
  expect(lines.at(-1)).toBe('0 passed, 0 failed');
  const inCi = summaryOf(outcomes, {}, { ...options, missingFails: true });
  expect(inCi.at(-1)).toBe('0 passed, 1 failed');
});

test('a group that takes 1.5 times as long as recorded is reported as slow, and does not fail', () => {
  const outcomes = [outcome('a', { seconds: 151 }), outcome('b', { seconds: 149 })];
  const lines = summaryOf(outcomes, { a: 100, b: 100 }, options);
  expect(lines.filter((line) => line.includes('SLOW'))).toEqual([
    'a                 151 s  0 passed, 0 failed   SLOW: 1.5 times its recorded 100 s',
  ]);
  expect(lines.at(-1)).toBe('0 passed, 0 failed');
});

test('the summary names failures, notes and the slowest files', () => {
  const files = [5, 40, 30, 20].map((seconds, i) => ({ name: `test/x/f${i}.test.ts`, seconds }));
  const one = outcome('x', {
    ...{ seconds: 100, failed: 1, failures: ['it holds (failed)'], notes: ['3 second tries'] },
    times: { setUp: 7, files },
  });
  const text = summaryOf([one], {}, options).join('\n');
  expect(text).toContain('set-up 7 s; f1.test.ts 40 s, f2.test.ts 30 s, f3.test.ts 20 s');
  expect(text).toContain('FAILED: x: it holds (failed)');
  expect(text).toContain('x: 3 second tries');
});

test('the announcement names the groups that will run, the others with the reasons, and the expected time', () => {
  const missing = new Map([
    ['mesh', ['root is needed']],
    ['product', ['root is needed', 'no Go']],
  ]);
  expect(announcement(['unit', 'mesh', 'product'], missing, { quick: 80, all: 1_800 })).toEqual([
    'will run: unit',
    'CANNOT RUN: mesh, product: root is needed',
    'CANNOT RUN: product: no Go',
    'the quick part takes about 1:20 min',
    expect.stringContaining('the whole run takes about 30:00 min'),
  ]);
});

test('a line in which Vitest reports a failed test is distinguished from all others', () => {
  const failed = '\u001B[31m   \u001B[31m×\u001B[31m a call is answered\u001B[39m 12ms\u001B[39m';
  expect(failedTest(failed)).toBe('a call is answered 12ms');
  expect(failedTest('   ✓ a call × 2 is answered 12ms')).toBeUndefined();
  expect(failedTest(' ❯ |product| tcp.test.ts (3 tests | 1 failed)')).toBeUndefined();
});
