import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { derive, picturePath } from '../readme.ts';
import type { Result } from '../result.ts';

const root = join(import.meta.dirname, '../..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');

test('measured results and the picture are those of bench/results', () => {
  const { readme: derived, picture } = derive(readme);
  expect(readme).toBe(derived);
  expect(existsSync(join(root, picturePath))).toBe(true);
  if (picture) expect(readFileSync(join(root, picturePath), 'utf8')).toBe(picture);
});

function measured(name: string, subject: string, metric: string): number {
  const text = readFileSync(join(root, 'bench/results', `${name}.json`), 'utf8');
  const { rows } = JSON.parse(text) as Result;
  const found = rows.find((row) => row.case === subject && row.metric === metric);
  return found?.value ?? Number.NaN;
}

const whole = (value: number) => value.toFixed(0);
const toTenth = (value: number) => value.toFixed(1);
const toFive = (value: number) => String(5 * Math.round(value / 5));
const controller = 'controller, 1000 workloads, 5000 services';

/** Figures in the prose of the README: the sentence, the row behind it, and how it is rounded. */
const quoted: [(value: string) => string, [string, string, string], (value: number) => string][] = [
  [(v) => `each sidecar holds ${v} MB`, ['memory', '5000 services, full', 'allocated'], whole],
  [
    (v) => `| each scoped sidecar | ${v} MB`,
    ['memory', '1000 services, scoped', 'allocated'],
    toTenth,
  ],
  [
    (v) => `any size, ${v} MB of it for the filter`,
    ['memory', '1000 services, scoped - by hand', 'allocated'],
    toTenth,
  ],
  [(v) => `| each node | ${v} MB`, ['ingest', 'node, idle', 'RSS'], whole],
  [(v) => `when idle, ${v} MB at`, ['ingest', 'node, steady', 'RSS, peak'], whole],
  [(v) => `(two) | ${v} MB with`, ['ingest', `${controller}, rebuilt`, 'RSS, peak'], toFive],
  [
    (v) => `, ${v} MB while it lists`,
    ['ingest', `${controller}, listed again`, 'RSS, peak'],
    toFive,
  ],
  [
    (v) => `again; ${v} MB with 2,000 workloads`,
    ['scale', '1000 nodes, 10000 pods, 10000 services, churn', 'RSS, peak'],
    whole,
  ],
  [(v) => `| a first call | ${v} ms by`, ['first-call', 'gateway', 'first call, p50'], toTenth],
  [(v) => `and ${v} ms by \`direct\``, ['first-call', 'direct', 'first call, p50'], toTenth],
  [
    (v) => `of a connection takes ${v} ms`,
    ['first-call', 'direct', 'cold call, full configuration, p50'],
    toTenth,
  ],
  [
    (v) => `on an open connection ${v} ms`,
    ['first-call', 'full configuration', 'warm call, p50'],
    toTenth,
  ],
  [
    (v) => `| ${v} s of istiod CPU`,
    ['enable', '1000 services, 8 workloads', 'istiod CPU for it'],
    toTenth,
  ],
  [
    (v) => `and ${v} MB pushed`,
    ['enable', '1000 services, 8 workloads', 'bytes pushed for it'],
    whole,
  ],
];

test.each(quoted)('a figure in the prose is the measured one (%#)', (sentence, row, rounded) => {
  expect(readme).toContain(sentence(rounded(measured(...row))));
});
