import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { benchmarkModel, modelOf, sizeOf } from '../../command/core/prediction.ts';
import type { Result } from '../result.ts';

const { rows } = JSON.parse(
  readFileSync(join(import.meta.dirname, '../results/memory.json'), 'utf8'),
) as Result;
const figureOf = (name: string, metric: string) =>
  rows.find((row) => row.case === name && row.metric === metric)?.value ?? Number.NaN;

// Proxies without the filter, of 21 to 10,050 clusters.
const measured = [100, 1000, 5000].flatMap((services) => [
  `${services} services, full`,
  `${services} services, by hand, no filter`,
]);

test.each(measured)('%s: predicted within 10 %% of what was measured', (name) => {
  const { memoryBytes, configurationBytes } = sizeOf(figureOf(name, 'clusters'), benchmarkModel);
  const ratios = [
    memoryBytes / 1e6 / figureOf(name, 'allocated'),
    configurationBytes / 1e6 / figureOf(name, 'configuration'),
  ];
  for (const ratio of ratios) {
    expect(ratio).toBeGreaterThan(0.9);
    expect(ratio).toBeLessThan(1.1);
  }
});

test('a mesh that has measured is predicted by its own figures', () => {
  const clusters = { before: 2_056, after: 15 };
  const memoryBytes = { before: 173_500_000, after: 14_500_000 };
  const model = modelOf([{ clusters, memoryBytes }], () => 'this mesh');
  expect(sizeOf(2_056, model).memoryBytes).toBeCloseTo(173_500_000, -1);
  expect(sizeOf(15, model).memoryBytes).toBeCloseTo(14_500_000, -1);
  const nothing = { clusters, memoryBytes: { before: 0, after: 0 } };
  const full = { clusters: { ...clusters, after: 0 }, memoryBytes: { ...memoryBytes, after: 0 } };
  const observed = modelOf([full, nothing], (_, kind) => kind);
  expect(observed.from).toBe('observed');
  expect(sizeOf(2_056, observed).memoryBytes).toBeCloseTo(173_500_000, -1);
  expect(modelOf([nothing], () => '')).toBe(benchmarkModel);
});
