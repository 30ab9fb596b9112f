import { counted } from '../../companion/core/mesh/counted.ts';
import { isWorrying } from '../../companion/core/scope/barrier.ts';
import type { Status, Total, WorkloadStatus } from './status.ts';
import { type Column, type Paint, tableOf } from './table.ts';

/** The status of a mesh in words and columns. */
export function statusText(
  { workloads, namespaces, total }: Status,
  view: { wide: boolean; paint: Paint },
): string {
  if (workloads.length === 0) {
    return 'No workload has a scope here. Enable a namespace: kubectl label namespace NAME lazyscope.io/mode=observe\n';
  }
  const parts = [tableOf(workloadColumns(total), workloads, view)];
  if (namespaces.length > 1) parts.push(tableOf(namespaceColumns(total), namespaces, view));
  parts.push(`${summaryOf(total, namespaces.length)}\n`);
  return parts.join('\n');
}

function workloadColumns(total: Total): Column<WorkloadStatus>[] {
  return [
    { title: 'NAMESPACE', cell: ({ namespace }) => namespace },
    { title: 'WORKLOAD', cell: ({ workload }) => workload },
    { title: 'MODE', cell: ({ mode }) => mode },
    {
      title: 'SCOPED',
      cell: ({ scoped, reason }) => (scoped ? { text: reason, tone: 'good' } : reason),
    },
    {
      title: 'IN-THE-WAY',
      cell: ({ obstacle }) => ({
        text: obstacle,
        tone: isWorrying({ reason: obstacle }) ? 'bad' : 'warn',
      }),
    },
    { title: 'HOSTS', cell: ({ hosts }) => String(hosts) },
    { title: 'PROXIES', cell: ({ proxies }) => `${proxies.reporting}/${proxies.total}` },
    { title: 'CLUSTERS', cell: ({ clusters }) => change(clusters, String) },
    { title: 'MEMORY', cell: ({ memoryBytes }) => change(memoryBytes, megabytes) },
    { title: 'SAVED', cell: ({ savedBytes }) => (savedBytes ? megabytes(savedBytes) : '') },
    ...moneyColumn<WorkloadStatus>(total),
    { title: 'WHY', cell: ({ obstacleMessage }) => obstacleMessage, wide: true },
  ];
}

function namespaceColumns(total: Total): Column<Total & { namespace: string }>[] {
  return [
    { title: 'NAMESPACE', cell: ({ namespace }) => namespace },
    { title: 'WORKLOADS', cell: ({ workloads }) => String(workloads) },
    { title: 'NARROWED', cell: ({ scoped }) => String(scoped) },
    { title: 'PROXIES', cell: ({ proxies }) => String(proxies) },
    { title: 'SAVED', cell: ({ savedBytes }) => (savedBytes ? megabytes(savedBytes) : '') },
    ...moneyColumn<Total & { namespace: string }>(total),
  ];
}

function moneyColumn<Row extends { savedPerMonth?: number }>(total: Total): Column<Row>[] {
  if (total.savedPerMonth === undefined) return [];
  return [{ title: 'A-MONTH', cell: ({ savedPerMonth = 0 }) => savedPerMonth.toFixed(2) }];
}

function summaryOf(total: Total, namespaces: number): string {
  const { workloads, scoped, proxies, memoryBytes, savedBytes, savedPerMonth, unmeasured } = total;
  const early =
    total.measuredEarly > 0
      ? ` The memory before of ${counted(total.measuredEarly, 'workload')} was measured within 10 minutes of enabling, in which proxies still grow: it may be too low.`
      : '';
  const money = savedPerMonth === undefined ? '' : `, ${savedPerMonth.toFixed(2)} a month`;
  const sizes =
    memoryBytes.before > 0
      ? `; their memory went from ${megabytes(memoryBytes.before)} to ${megabytes(memoryBytes.after)}: ${megabytes(savedBytes)} saved${money}`
      : '';
  const unknown = unmeasured > 0 ? `; ${counted(unmeasured, 'workload')} not measured` : '';
  return `${scoped} of ${counted(workloads, 'workload')} in ${counted(namespaces, 'namespace')} narrowed, with ${counted(proxies, 'proxy')} in all${sizes}${unknown}.${early}`;
}

function change(
  { before, after }: { before?: number; after?: number },
  text: (value: number) => string,
): string {
  if (before === undefined && after === undefined) return '';
  const first = before === undefined ? '?' : text(before);
  return after === undefined ? first : `${first} -> ${text(after)}`;
}

/** Megabytes of 10^6 bytes, as in the status of a WorkloadScope. */
export function megabytes(bytes: number): string {
  // Adding 0 turns a negative zero into zero.
  return `${(Math.round(bytes / 1e5) / 10 + 0).toFixed(1)}MB`;
}
