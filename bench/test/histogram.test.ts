import { Histogram as PrometheusHistogram, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { quantileOf, readHistogram } from '../histogram.ts';

async function textOf(values: [path: string, seconds: number][]): Promise<string> {
  const register = new Registry();
  const histogram = new PrometheusHistogram({
    name: 'x_seconds',
    help: 'x',
    labelNames: ['path'],
    buckets: [0.001, 0.01, 0.1],
    registers: [register],
  });
  for (const [path, seconds] of values) histogram.observe({ path }, seconds);
  return register.metrics();
}

const none = { buckets: [], count: 0 };

test('a histogram is read as prom-client writes it, summed over labels', async () => {
  const read = readHistogram(
    await textOf([
      ['a', 0.0005],
      ['b', 0.05],
      ['b', 7],
    ]),
    'x_seconds',
  );
  expect(read).toEqual({
    buckets: [
      { bound: 0.001, count: 1 },
      { bound: 0.01, count: 1 },
      { bound: 0.1, count: 2 },
      { bound: Number.POSITIVE_INFINITY, count: 3 },
    ],
    count: 3,
  });
});

test('a quantile is the bound of its bucket, of what came after', async () => {
  const early: [string, number][] = Array.from({ length: 50 }, () => ['a', 5]);
  const late: [string, number][] = [
    ...Array.from({ length: 99 }, (): [string, number] => ['a', 0.002]),
    ['a', 0.05],
  ];
  const before = readHistogram(await textOf(early), 'x_seconds');
  const after = readHistogram(await textOf([...early, ...late]), 'x_seconds');
  expect(quantileOf(after, before, 0.99)).toBe(0.01);
  expect(quantileOf(after, before, 1)).toBe(0.1);
  expect(quantileOf(after, after, 0.5)).toBeNaN();
  expect(quantileOf(none, none, 0.5)).toBeNaN();
});
