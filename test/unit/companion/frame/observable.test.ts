import { join } from 'node:path';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createControllerMetrics } from '../../../../companion/controller/metrics.ts';
import { createKubeMetrics, createNodeMetrics } from '../../../../companion/metrics.ts';
import { filesBelow, repository } from '../../manifests/render.ts';

const sources = filesBelow(join(repository, 'companion'), '.ts');

/** Calls of a log, as their level and the text of their arguments. */
const calls = sources.flatMap(({ name, text }) =>
  [...text.matchAll(/\blog(?:\.(\w+)|\[[^\]]+\])\(/g)]
    .filter(([, level]) => !['child'].includes(level ?? ''))
    .map(({ index, 0: start, 1: level = 'chosen' }) => ({
      where: `${name}: ${start}`,
      level,
      given: argumentsAt(text, index + start.length),
    })),
);

function argumentsAt(text: string, from: number): string {
  let depth = 1;
  let at = from;
  for (; depth > 0 && at < text.length; at++) {
    if ('([{'.includes(text[at] ?? '')) depth += 1;
    if (')]}'.includes(text[at] ?? '')) depth -= 1;
  }
  return text.slice(from, at - 1).trim();
}

test('every log line has a constant message; what varies is in fields', () => {
  expect(calls.length).toBeGreaterThan(20);
  const odd = calls.filter(({ given }) => !/^(\{[\s\S]*\},\s*)?'[^'\n]+',?$/.test(given));
  expect(odd).toEqual([]);
});

test('no log line has a token in it', () => {
  expect(
    calls.filter(({ given }) => /\btoken\b(?!s? )/.test(given.replace(/'[^']*'$/, ''))),
  ).toEqual([]);
});

const metrics = (() => {
  const registry = new Registry();
  createControllerMetrics(registry);
  createNodeMetrics(registry);
  createKubeMetrics(registry);
  return registry.getMetricsAsJSON();
})();

test('every metric says what it is, in which unit', async () => {
  const all = await metrics;
  expect(all.length).toBeGreaterThan(40);
  for (const { name, help, type } of all) {
    expect(help, name).toMatch(/^[A-Z].{15,}\.$/);
    expect(name).toMatch(/^lazyscope_[a-z_]+$/);
    // `counter` is 'counter' in the JSON of prom-client; histograms are times.
    if (String(type) === 'counter') expect(name).toMatch(/_total$/);
    else expect(name).not.toMatch(/_total$/);
    if (String(type) === 'histogram') expect(name).toMatch(/_seconds$/);
    if (/timestamp|time_|_seconds/.test(name)) expect(name).toMatch(/_seconds$/);
  }
});

test('what matters has a time of its last success', async () => {
  const names = (await metrics).map(({ name }) => name).filter((name) => name.includes('_last_'));
  expect(names.sort()).toEqual([
    'lazyscope_controller_last_sync_timestamp_seconds',
    'lazyscope_controller_last_write_timestamp_seconds',
    'lazyscope_kube_last_success_timestamp_seconds',
    'lazyscope_node_last_answer_timestamp_seconds',
    'lazyscope_node_last_report_timestamp_seconds',
  ]);
});
