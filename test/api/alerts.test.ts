import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { ensurePrometheus } from '../../box/artifacts/binaries.ts';
import { run } from '../../box/run.ts';
import { find, type Manifest, manifests, render, repository } from '../unit/manifests/render.ts';

// Building promtool takes minutes if the cache is empty.
vi.setConfig({ hookTimeout: 600_000 });

const rendered = render(join(manifests, 'components/monitoring'));
const groups: Manifest[] = ['lazyscope', 'lazyscope-recorded'].flatMap(
  (name) => find(rendered, 'PrometheusRule', name).spec.groups,
);
const all: Manifest[] = groups.flatMap(({ rules }: Manifest) => rules);
const alerts = all.filter(({ alert }) => alert !== undefined);
const folder = mkdtempSync(join(tmpdir(), 'lazyscope-alerts-'));
const rules = join(folder, 'rules.json');
let promtool: string;

beforeAll(async () => {
  ({ promtool } = await ensurePrometheus(console.error));
  // Rules are YAML, and JSON is valid YAML.
  writeFileSync(rules, JSON.stringify({ groups }));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('Prometheus accepts every rule without a warning', async () => {
  const printed = await run(promtool, ['check', 'rules', '--lint=all', '--lint-fatal', rules]);
  expect(printed).toContain(`${all.length} rules found`);
});

/** Series that make an alert fire, and the minutes until the alert fires. */
const cases: Record<string, { minutes: number; series: Record<string, string> }> = {
  LazyscopeNoLeader: { minutes: 5, series: { 'lazyscope_controller_leader{pod="a"}': '0x10' } },
  LazyscopeTwoLeaders: {
    minutes: 5,
    series: {
      'lazyscope_controller_leader{pod="a"}': '1x10',
      'lazyscope_controller_leader{pod="b"}': '1x10',
    },
  },
  LazyscopeSyncStalled: {
    minutes: 20,
    series: { lazyscope_controller_last_sync_timestamp_seconds: '0x30' },
  },
  LazyscopeWritesFailing: {
    minutes: 40,
    series: {
      'lazyscope_controller_writes_total{kind="Sidecar",outcome="failed"}': '0+1x60',
    },
  },
  LazyscopeApiServerSilent: {
    minutes: 15,
    series: { 'lazyscope_kube_last_success_timestamp_seconds{pod="a"}': '0x30' },
  },
  LazyscopeScopesWithdrawn: {
    minutes: 15,
    series: { 'lazyscope_controller_scopes_withdrawn_total{reason="ProxiesSilent"}': '0+1x30' },
  },
  LazyscopeWithdrawalPending: {
    minutes: 15,
    series: { 'lazyscope_controller_withdrawals_pending{pod="a",reason="Budget"}': '3x30' },
  },
  LazyscopeModeUnknown: {
    minutes: 15,
    series: { 'lazyscope_controller_modes_unknown{pod="a"}': '1x30' },
  },
  LazyscopeFilterUnknown: {
    minutes: 15,
    series: { 'lazyscope_controller_filter_requests_total{pod="a",release="unknown"}': '0+1x30' },
  },
  LazyscopeNodeAlone: {
    minutes: 10,
    series: { 'lazyscope_node_controller_streams{pod="n"}': '0x20' },
  },
  LazyscopeNodeDeaf: {
    minutes: 15,
    series: {
      'lazyscope_node_last_report_timestamp_seconds{pod="n"}': '0x30',
      'lazyscope_node_proxies{pod="n"}': '3x30',
    },
  },
  LazyscopeNodeTableFull: {
    minutes: 50,
    series: { 'lazyscope_node_evicted_total{pod="n",table="vms"}': '0+1x60' },
  },
  LazyscopeRefused: {
    minutes: 40,
    series: { 'lazyscope_node_refused_total{pod="n",reason="unknown-source"}': '0+200x60' },
  },
  LazyscopeLogDropped: {
    minutes: 40,
    series: { 'lazyscope_log_lines_dropped_total{pod="n"}': '0+1x60' },
  },
  LazyscopeStreamsRefused: {
    minutes: 40,
    series: { 'lazyscope_controller_streams_refused_total{pod="a",reason="bad token"}': '0+2x60' },
  },
};

/** A healthy mesh: one leader, everything fresh, nothing grows. */
const calm = {
  'lazyscope_controller_leader{pod="a"}': '1x60',
  'lazyscope_controller_leader{pod="b"}': '0x60',
  lazyscope_controller_last_sync_timestamp_seconds: '0+60x60',
  'lazyscope_kube_last_success_timestamp_seconds{pod="a"}': '0+60x60',
  'lazyscope_controller_writes_total{kind="Sidecar",outcome="failed"}': '3x60',
  'lazyscope_controller_scopes_withdrawn_total{reason="Off"}': '0+5x60',
  'lazyscope_controller_filter_requests_total{pod="a",release="previous"}': '0+1x60',
  'lazyscope_node_controller_streams{pod="n"}': '2x60',
  'lazyscope_node_last_report_timestamp_seconds{pod="n"}': '0+60x60',
  'lazyscope_node_proxies{pod="n"}': '3x60',
  'lazyscope_node_refused_total{pod="n",reason="malformed"}': '0+1x60',
  'lazyscope_log_lines_dropped_total{pod="n"}': '7x60',
};

async function firing(series: Record<string, string>, minutes: number): Promise<string[]> {
  const given = Object.entries(series).map(([name, values]) => ({ series: name, values }));
  const fired: string[] = [];
  for (const { alert } of alerts) {
    const file = join(folder, 'test.json');
    const alert_rule_test = [{ eval_time: `${minutes}m`, alertname: alert, exp_alerts: [] }];
    const tests = [{ interval: '1m', input_series: given, alert_rule_test }];
    writeFileSync(file, JSON.stringify({ rule_files: [rules], tests }));
    const silent = await run(promtool, ['test', 'rules', file]).then(
      () => true,
      () => false,
    );
    if (!silent) fired.push(alert);
  }
  return fired;
}

test.each(alerts.map(({ alert }) => [alert] as const))('%s fires when it should', async (alert) => {
  const { series, minutes } = cases[alert] ?? { series: {}, minutes: 1 };
  expect(await firing({ ...calm, ...series }, minutes)).toEqual([alert]);
});

test('no alert fires in a healthy mesh', async () => {
  expect(await firing(calm, 55)).toEqual([]);
});

/** Two replicas with the same workloads; two nodes with calls that wait 10 and 100 ms. */
const recording = {
  ...Object.fromEntries(
    ['a', 'b'].flatMap((pod) =>
      ['web', 'cart'].map((workload) => [
        `lazyscope_controller_workload_memory_bytes{pod="${pod}",workload_namespace="shop",workload="${workload}"}`,
        '100x20',
      ]),
    ),
  ),
  'lazyscope_controller_workload_memory_saved_bytes{pod="a",workload_namespace="shop",workload="web"}':
    '7x20',
  'lazyscope_node_question_seconds_bucket{pod="m",le="0.01"}': '0+60x20',
  'lazyscope_node_question_seconds_bucket{pod="n",le="0.01"}': '0+60x20',
  'lazyscope_node_hold_seconds_bucket{pod="n",le="0.1"}': '0+60x20',
};

test.each([
  ['namespace:lazyscope_controller_workload_memory_bytes:sum', '{workload_namespace="shop"}', 200],
  [
    'namespace:lazyscope_controller_workload_memory_saved_bytes:sum',
    '{workload_namespace="shop"}',
    7,
  ],
  ['le:lazyscope_node_question_seconds_bucket:rate5m', '{le="0.01"}', 2],
  ['le:lazyscope_node_hold_seconds_bucket:rate5m', '{le="0.1"}', 1],
])('%s is recorded, and counts a workload once', async (record, labels, value) => {
  expect(all.map((rule) => rule.record)).toContain(record);
  const input_series = Object.entries(recording).map(([series, values]) => ({ series, values }));
  const exp_samples = [{ labels: `${record}${labels}`, value }];
  const promql_expr_test = [{ expr: record, eval_time: '10m', exp_samples }];
  const file = join(folder, 'recorded.json');
  const tests = [{ interval: '1m', input_series, promql_expr_test }];
  writeFileSync(file, JSON.stringify({ rule_files: [rules], tests }));
  expect(await run(promtool, ['test', 'rules', file])).toContain('SUCCESS');
});

test('each alert has a runbook', () => {
  const sections = readFileSync(join(repository, 'docs/runbooks.md'), 'utf8').match(/^## .+$/gm);
  expect(sections?.map((line) => line.slice(3)).sort()).toEqual(
    alerts.map(({ alert }) => alert).sort(),
  );
  for (const { alert, annotations } of alerts)
    expect(annotations.runbook).toBe(`docs/runbooks.md#${alert.toLowerCase()}`);
});
