import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createBypassMetrics } from '../../../../companion/bypass/metrics.ts';
import { createControllerMetrics } from '../../../../companion/controller/metrics.ts';
import { createLogMetrics, createRegistry } from '../../../../companion/frame/metrics.ts';
import { createKubeMetrics } from '../../../../companion/kube/metrics.ts';
import { createNodeMetrics } from '../../../../companion/node/metrics.ts';
import {
  filesBelow,
  find,
  manifests,
  parse,
  repository,
  valuesOf,
} from '../../manifests/render.ts';

const sources = filesBelow(join(repository, 'companion'), '.ts');

/** Calls of a log, with their level and the text of their arguments. */
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

test('every log line has a constant message, and fields for the variable parts', () => {
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
  const registry = createRegistry('0.0.0', 'test');
  // The metrics library writes the help texts of its own process metrics.
  const before = new Set(registry.getMetricsAsArray().map(({ name }) => name));
  before.delete('lazyscope_build_info');
  for (const create of [createControllerMetrics, createNodeMetrics, createBypassMetrics])
    create(registry);
  for (const create of [createKubeMetrics, createLogMetrics]) create(registry);
  return registry.getMetricsAsJSON().then((all) => all.filter(({ name }) => !before.has(name)));
})();

test('every metric has a help text and a unit in its name', async () => {
  const all = await metrics;
  expect(all.length).toBeGreaterThan(40);
  for (const { name, help, type } of all) {
    expect(help, name).toMatch(/^[A-Z].{15,}\.$/);
    expect(name).toMatch(/^lazyscope_[a-z_]+$/);
    // In prom-client's JSON the type of a counter is 'counter'. Histograms measure times.
    if (String(type) === 'counter') expect(name).toMatch(/_total$/);
    else expect(name).not.toMatch(/_total$/);
    if (String(type) === 'histogram') expect(name).toMatch(/_seconds$/);
    if (/timestamp|time_|_seconds/.test(name)) expect(name).toMatch(/_seconds$/);
    // A unit is the last word of the name (Prometheus' naming practices). If the help names a unit,
    // the name must too.
    if (/bytes/i.test(name) || (/\bbytes\b/i.test(help) && String(type) === 'gauge'))
      expect(name).toMatch(/_bytes(_total)?$/);
    if (/\b(refused|dropped)\b/.test(help)) expect(String(type), name).toBe('counter');
    if (/^Unix time /.test(help)) expect(name).toMatch(/_timestamp_seconds$/);
  }
});

test('this test covers every file that makes a metric', () => {
  const makers = sources.filter(({ text }) =>
    /describeMetrics\(|new (Counter|Gauge|Hist)/.test(text),
  );
  expect(makers.map(({ name }) => name).sort()).toEqual([
    'bypass/metrics.ts',
    'controller/metrics.ts',
    'frame/metrics.ts',
    'kube/metrics.ts',
    'node/metrics.ts',
  ]);
});

test('every alert uses existing metrics and labels, and names a section of the runbooks', async () => {
  const known = new Map((await metrics).map((metric) => [metric.name, metric]));
  const files = filesBelow(join(manifests, 'components/monitoring'), '.yaml');
  const objects = files.flatMap(({ text }) => parse(text));
  const rules = find(objects, 'PrometheusRule', 'lazyscope').spec.groups.flatMap(
    ({ rules }: { rules: object[] }) => rules,
  );
  const expressions = valuesOf(rules, 'expr').map(String);
  expect(expressions.length).toBeGreaterThan(10);
  for (const expression of expressions) {
    const names = expression.match(/lazyscope_\w+/g) ?? [];
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) expect([...known.keys()]).toContain(name);
    for (const [, label] of expression.matchAll(/[{,](\w+)(?:=|!=|=~|!~)"/g)) {
      const used = sources.filter(({ name }) => name.endsWith('metrics.ts'));
      expect(
        used.some(({ text }) => text.includes(`'${label}'`)),
        label,
      ).toBe(true);
    }
  }
  const runbooks = readFileSync(join(repository, 'docs/runbooks.md'), 'utf8');
  for (const runbook of valuesOf(rules, 'runbook').map(String)) {
    const anchor = runbook.replace('docs/runbooks.md#', '');
    expect(runbooks.toLowerCase()).toMatch(new RegExp(`^## ${anchor}$`, 'm'));
  }
  expect(valuesOf(rules, 'runbook').length).toBe(expressions.length);
});

test('every important task has a metric with the time of its last success', async () => {
  const names = (await metrics).map(({ name }) => name).filter((name) => name.includes('_last_'));
  expect(names.sort()).toEqual([
    'lazyscope_controller_last_sync_timestamp_seconds',
    'lazyscope_controller_last_write_timestamp_seconds',
    'lazyscope_kube_last_success_timestamp_seconds',
    'lazyscope_node_last_answer_timestamp_seconds',
    'lazyscope_node_last_report_timestamp_seconds',
  ]);
});
