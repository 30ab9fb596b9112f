import { expect, test } from 'vitest';
import { assertMeasured, missedAims, type Result, row, tableOf } from '../result.ts';

const machine = {
  cpus: 2,
  memoryBytes: 8 * 2 ** 30,
  kernel: '6.1.0',
  node: '20.19.0',
  envoy: '1.40.0',
  istio: 'v1.32.0',
  kubernetes: 'v1.35.4',
};
const resultOf = (...rows: Result['rows']): Result => ({ name: 'memory', machine, rows });

test('an aim is met up to its bound and missed beyond it, either way round', () => {
  const atMost = (value: number) => row('c', 'm', value, 'ms', { atMost: 200 }).pass;
  const atLeast = (value: number) => row('c', 'm', value, '1/s', { atLeast: 200 }).pass;
  expect([199, 200, 201].map(atMost)).toEqual([true, true, false]);
  expect([199, 200, 201].map(atLeast)).toEqual([false, true, true]);
});

test('the measured value decides, although a rounded one is shown', () => {
  const { value, pass } = row('c', 'm', 0.0800004, 'ratio', { atMost: 0.08 });
  expect({ value, pass }).toEqual({ value: 0.08, pass: false });
});

test('what could not be measured meets no aim', () => {
  expect(row('c', 'm', Number.NaN, 'ms', { atMost: 1 }).pass).toBe(false);
  expect(row('c', 'm', Number.NaN, 'ms', { atLeast: 1 }).pass).toBe(false);
});

test('a result with a figure that is no number is refused, and the figure named', () => {
  const measured = row('calm', 'CPU per request', 108.7, 'us');
  const ratio = row('calm', 'ours / no-op', 0 / 0, 'ratio', { atMost: 1.15 });
  expect(() => assertMeasured(resultOf(measured))).not.toThrow();
  expect(() => assertMeasured(resultOf(measured, ratio))).toThrow(
    'memory has figures that are not numbers\n- calm, ours / no-op: NaN',
  );
});

test('a figure without an aim neither passes nor fails', () => {
  const known = row('c', 'm', 12, 'MB');
  expect(known).toEqual({
    case: 'c',
    metric: 'm',
    value: 12,
    unit: 'MB',
    aim: null,
    pass: null,
  });
  expect(missedAims(resultOf(known))).toEqual([]);
});

test('the missed aims are those rows that failed', () => {
  const met = row('c', 'met', 1, 'ms', { atMost: 2 });
  const missed = row('c', 'missed', 3, 'ms', { atMost: 2 });
  expect(missedAims(resultOf(met, missed))).toEqual([missed]);
});

test('the table names the machine, aligns its columns and marks what was missed', () => {
  const table = tableOf(
    resultOf(
      row('full', 'allocated', 152, 'MB'),
      row('scoped, 1,000', 'share', 0.09, 'ratio', { atMost: 0.08 }),
      row('over', 'allocated', 3.25, 'MB', { atMost: 4 }),
    ),
  );
  expect(table).toBe(
    [
      'memory: 2 CPUs, 8 GiB, Linux 6.1.0, Node 20.19.0, Envoy 1.40.0,',
      'Istio v1.32.0, Kubernetes v1.35.4',
      '',
      'case           metric     value  unit   aim',
      'full           allocated    152  MB',
      'scoped, 1,000  share       0.09  ratio  <= 0.08  MISSED',
      'over           allocated   3.25  MB     <= 4     met',
    ].join('\n'),
  );
});
