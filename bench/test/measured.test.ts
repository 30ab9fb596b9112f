import { expect, test } from 'vitest';
import { added } from '../first-call-rows.ts';
import { measuredTable } from '../measured.ts';
import { barsOf, evenAt, pictureOf } from '../picture.ts';
import { type Result, type Row, row } from '../result.ts';

function result(name: string, rows: Row[]): Result {
  const machine = {
    cpus: 2,
    memoryBytes: 1,
    kernel: '',
    node: '',
    envoy: '',
    istio: '',
    kubernetes: '',
  };
  return { name, machine, rows };
}

const memory = result(
  'memory',
  [
    [100, 20, 11],
    [1000, 200, 12],
  ].flatMap(([services, full = 0, scoped = 0]) => [
    row(`${services} services, full`, 'allocated', full, 'MB'),
    row(`${services} services, full`, 'clusters', 7, 'count'),
    row(`${services} services, scoped`, 'allocated', scoped, 'MB'),
  ]),
);

test('bars are read from the results of memory, by size of the mesh', () => {
  expect(barsOf(memory)).toEqual([
    { services: 100, full: 20, scoped: 11 },
    { services: 1000, full: 200, scoped: 12 },
  ]);
});

test('break-even is where a full sidecar has shrunk to a scoped one', () => {
  // 180 MB for 900 services are 0.2 MB each; 9 MB are 45 services.
  expect(evenAt(barsOf(memory))).toBeCloseTo(55);
});

test('the picture names every figure and draws bars on one scale', () => {
  const svg = pictureOf(barsOf(memory), 'a <caption>');
  for (const text of ['20.0 MB whole mesh', '12.0 MB scoped (6.0 %)', 'a &lt;caption>']) {
    expect(svg).toContain(text);
  }
  const widths = [...svg.matchAll(/<rect x="130" y="\d+" width="([\d.]+)"/g)].map(([, w]) =>
    Number(w),
  );
  expect((widths[2] ?? 0) / (widths[0] ?? 1)).toBeCloseTo(10);
});

test('the table has a line for what was measured, and none for what was not', () => {
  const ingest = result('ingest', [
    row('node, idle', 'RSS', 70, 'MB'),
    row('node, steady', 'RSS, peak', 80, 'MB'),
    row('node, steady', 'observations', 51_990, '/s'),
  ]);
  const bypass = result('bypass', [
    row('round trip of 1 B, one CPU', 'p50, on / off', 0.5, 'ratio'),
    row('sidecars, 1 connections', 'p50, on / off', 0.81, 'ratio'),
    row('sidecars, 1 connections', 'cpu, on / off', 0.8, 'ratio'),
    row('sidecars, gRPC', 'p50, on / off', 0.9, 'ratio'),
    row('sidecars, gRPC', 'cpu, on / off', 0.88, 'ratio'),
  ]);
  const table = measuredTable({ memory, ingest, filter: undefined, bypass });
  expect(table).toContain('| 0.81 to 0.90; 0.80 to 0.88 times | `npm run -s bench -- bypass` |');
  expect(table).toContain('| size of the mesh at which both take the same memory | 55 services |');
  expect(table).toContain('takes (70 MB), at 100 / 1,000 services | 8 / 1 |');
  expect(table).toContain('| 52,000/s at 80 MB | `npm run -s bench -- ingest` |');
  expect(table).not.toContain('filter`');
});

test('first calls are compared with cold ones where these were measured, else with warm ones', () => {
  const times = { first: { p50: 8, p99: 20 }, cold: { p50: 6, p99: 12 } };
  const strategies = ['gateway', 'direct', 'hold'];
  const fair = result('first-call', [
    ...strategies.flatMap((name) => added(name, times)),
    row('full configuration', 'warm call, p50', 3, 'ms'),
    row('question, as filters see it', 'p50 at most', 0.9, 'ms'),
    row('question, as filters see it', 'p99 at most', 2, 'ms'),
  ]);
  const table = measuredTable({ 'first-call': fair });
  for (const text of ['| 2 / 2 / 2 ms |', '| 6 ms; 3 ms |', '| 0.9 / 2 ms |'])
    expect(table).toContain(text);
  const earlier = result('first-call', [
    ...strategies.map((name) => row(name, 'first call, p50', 9, 'ms')),
    row('gateway', 'warm call, p50', 4, 'ms'),
  ]);
  expect(measuredTable({ 'first-call': earlier })).toContain('| 9 / 9 / 9 ms; 4 ms |');
});

test('the aims of first calls are for what they add to cold ones', () => {
  const times = { first: { p50: 10, p99: 19 }, cold: { p50: 6, p99: 12 } };
  const passes = (name: string) => added(name, times).map(({ pass }) => pass);
  expect(passes('gateway').slice(4)).toEqual([true, null]);
  expect(passes('direct').slice(4)).toEqual([false, false]);
  expect(passes('passthrough')).toEqual(Array(6).fill(null));
});

test('a result that lacks a row says which', () => {
  expect(() => measuredTable({ ingest: result('ingest', []) })).toThrow(
    'ingest.json has no row /^node, steady$/, observations: run the benchmark again',
  );
});
