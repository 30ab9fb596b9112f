import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createControllerMetrics } from '../../../companion/controller/metrics.ts';
import { createRegistry } from '../../../companion/frame/metrics.ts';
import { createNodeMetrics } from '../../../companion/node/metrics.ts';
import { find, type Manifest, manifests, render } from './render.ts';

const file = 'lazyscope.json';
const dashboard = JSON.parse(
  readFileSync(join(manifests, 'components/monitoring', file), 'utf8'),
) as Dashboard;

const monitoring = render(join(manifests, 'components/monitoring'));
const recorded: { record: string; expr: string }[] = find(
  monitoring,
  'PrometheusRule',
  'lazyscope-recorded',
).spec.groups.flatMap(({ rules }: Manifest) => rules);

type Target = { expr: string; legendFormat: string; datasource: object };
type Panel = { type: string; title: string; datasource?: object; targets?: Target[] };
type Dashboard = {
  uid: string;
  schemaVersion: number;
  templating: { list: { name: string; type: string; query: string }[] };
  links: { url: string }[];
  panels: Panel[];
};

const targets = dashboard.panels.flatMap(({ title, targets: of = [] }) =>
  of.map((target) => ({ title, ...target, expr: unrecorded(target.expr) })),
);

/** What a recording rule records in place of its name. */
function unrecorded(expr: string): string {
  return recorded.reduce((text, rule) => text.replaceAll(rule.record, rule.expr), expr);
}

test('a panel shows what each rule records', () => {
  const shown = JSON.stringify(dashboard);
  for (const { record } of recorded)
    expect([record, shown.includes(record)]).toEqual([record, true]);
});

type Described = { name: string; type: string; labelNames?: string[] };

/** Every metric of both roles with its labels; a histogram by the names of its series. */
async function described(): Promise<Map<string, readonly string[]>> {
  const registry = createRegistry('1', 'controller');
  createControllerMetrics(registry);
  const nodes = new Registry();
  createNodeMetrics(nodes);
  const metrics = [registry, nodes].flatMap(
    (each) => each.getMetricsAsArray() as unknown as Described[],
  );
  return new Map(
    metrics.flatMap(({ name, labelNames = [] }) => [
      [name, labelNames],
      [`${name}_bucket`, [...labelNames, 'le']],
    ]),
  );
}

test('every expression names metrics that exist, with labels that they have', async () => {
  const known = await described();
  expect(targets.length).toBeGreaterThan(25);
  for (const { title, expr, legendFormat } of targets) {
    const names = [...expr.matchAll(/\b(lazyscope_\w+)/g)].map(([, name = '']) => name);
    expect([title, names.length]).toEqual([title, 1]);
    const [name = ''] = names;
    expect([title, name, known.has(name)]).toEqual([title, name, true]);
    const [, by = ''] = /\bby \(([^)]*)\)/.exec(expr) ?? [];
    // Prometheus adds the pod.
    const labels = new Set([...(known.get(name) ?? []), 'pod']);
    for (const label of by.split(/, ?/).filter(Boolean))
      expect([title, label, labels.has(label)]).toEqual([title, label, true]);
    const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label);
    for (const label of shown)
      expect([title, by.split(/, ?/)]).toEqual([title, expect.arrayContaining([label])]);
  }
});

test('counters are shown as rates over the interval of the panel', () => {
  for (const { title, expr } of targets) {
    const isCounter = /_(total|bucket|cpu_seconds_total)\b/.test(expr);
    expect([title, /rate\([^[]+\[(\$__rate_interval|5m)\]/.test(expr)]).toEqual([title, isCounter]);
  }
});

test('the dashboard follows the conventions of those of Istio', () => {
  expect(dashboard.uid).toBe(createHash('md5').update(file).digest('hex'));
  expect(dashboard.schemaVersion).toBe(39);
  expect(dashboard.templating.list).toMatchObject([
    { name: 'datasource', type: 'datasource', query: 'prometheus' },
  ]);
  const source = { type: 'prometheus', uid: '$datasource' };
  for (const { datasource } of targets) expect(datasource).toEqual(source);
  // By its UID, as Istio's own dashboards are linked.
  const pilot = createHash('md5').update('pilot-dashboard.json').digest('hex');
  expect(dashboard.links.map(({ url }) => url)).toEqual([`/d/${pilot}`]);
});

test('Grafana finds the dashboard by the label of its ConfigMap', () => {
  const { metadata, data } = find(monitoring, 'ConfigMap', 'lazyscope-dashboard');
  expect(metadata.namespace).toBe('lazyscope-system');
  expect(metadata.labels.grafana_dashboard).toBe('1');
  expect(JSON.parse(data[file])).toEqual(dashboard);
});
