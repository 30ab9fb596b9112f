import { type Change, changesMax } from '../../core/history/changes.ts';
import { settlingMs } from '../../core/history/counters.ts';
import type { Called } from '../../core/history/edges.ts';
import { conditionIn } from '../../core/scope/condition.ts';
import { type ScopeRecord, savedBytes } from '../../core/scope/workload-scope.ts';
import { type Access, maySee } from './access.ts';
import { inHistory } from './figures.ts';
import { type Known, timesOf } from './known.ts';
import { yamlOf } from './scope-yaml.ts';

/** What the page shows, as JSON; docs/console.md lists the fields. Times are milliseconds. */

/** Most rows of a page of workloads, edges of a topology, changes, and what needs somebody. */
export const answerBounds = {
  workloads: 500,
  edges: 5_000,
  changes: 1_000,
  attention: 50,
  callers: 500,
};

type Row = ReturnType<typeof rowOf>;

function scopesFor({ scopes }: Known, access: Access): ScopeRecord[] {
  return [...scopes.values()].filter(({ namespace }) => maySee(access, namespace));
}

function rowOf({ namespace, name, status }: ScopeRecord) {
  const scoped = conditionIn(status, 'Scoped');
  const { before = 0, after = 0 } = status?.clusters ?? {};
  const { beforeBytes = 0, afterBytes = 0 } = status?.memory ?? {};
  return {
    namespace,
    name,
    mode: status?.mode ?? 'off',
    scoped: scoped?.status === 'True',
    reason: scoped?.reason ?? 'NotYetSeen',
    message: scoped?.message ?? '',
    since: Date.parse(scoped?.lastTransitionTime ?? '') || 0,
    hosts: status?.hostCount ?? 0,
    proxies: status?.proxies.total ?? 0,
    clustersBefore: before,
    clustersAfter: after,
    memoryBefore: beforeBytes,
    memoryAfter: afterBytes,
    saved: savedBytes(status),
    lastSeen: Date.parse(status?.lastSeen ?? '') || 0,
  };
}

export function overview(known: Known, access: Access) {
  const scopes = scopesFor(known, access);
  const rows = scopes.map(rowOf);
  const namespaces = [...new Set(rows.map(({ namespace }) => namespace))].sort().map((name) => {
    const own = rows.filter(({ namespace }) => namespace === name);
    return {
      namespace: name,
      workloads: own.length,
      scoped: own.filter(({ scoped }) => scoped).length,
      saved: sum(own, ({ saved }) => saved),
      clusters: clustersOf(own),
    };
  });
  const day = inHistory(known, access, 1);
  return {
    ...timesOf(known),
    everything: access.all,
    beganAnew: beganAnew(known, scopes),
    workloads: rows.length,
    scoped: rows.filter(({ scoped }) => scoped).length,
    proxies: sum(rows, ({ proxies }) => proxies),
    saved: sum(rows, ({ saved }) => saved),
    clusters: clustersOf(rows),
    savedOverTime: { binMs: day.binMs, from: day.from, is: day.memory, full: day.full },
    reasons: tally(rows.filter(({ scoped }) => !scoped).map(({ reason }) => reason)),
    modes: tally(rows.map(({ mode }) => mode)),
    namespaces,
    attention: attentionOf(scopes).slice(0, answerBounds.attention),
  };
}

function sum(rows: readonly Row[], value: (row: Row) => number): number {
  return rows.reduce((total, row) => total + value(row), 0);
}

/** Sums over the workloads of which both are known. */
function clustersOf(rows: readonly Row[]): { before: number; after: number } {
  const both = rows.filter(({ clustersAfter }) => clustersAfter > 0);
  return {
    before: sum(both, ({ clustersBefore }) => clustersBefore),
    after: sum(both, ({ clustersAfter }) => clustersAfter),
  };
}

/** A scope from before the history: all replicas were gone at once, and what they knew is lost. */
function beganAnew({ history }: Known, scopes: readonly ScopeRecord[]): boolean {
  const before = history.beginsAt() - settlingMs;
  return scopes.some(({ created }) => created > 0 && created < before);
}

function tally(names: readonly string[]): { name: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => ({ name, count })).sort((a, b) => b.count - a.count);
}

/** Conditions that wait for somebody. */
function attentionOf(scopes: readonly ScopeRecord[]) {
  return scopes.flatMap(({ namespace, name, status }) =>
    ['WithdrawalPending', 'HostsLeftOut'].flatMap((type) => {
      const { reason, message, lastTransitionTime } = conditionIn(status, type) ?? {};
      if (!reason) return [];
      return [
        { namespace, workload: name, reason, message, since: Date.parse(lastTransitionTime ?? '') },
      ];
    }),
  );
}

const sortable = [
  'namespace',
  'name',
  'saved',
  'hosts',
  'memoryAfter',
  'clustersAfter',
  'reason',
] as const;

export type WorkloadsQuery = { search: string; sort: string; descending: boolean; offset: number };

export function workloads(known: Known, access: Access, query: WorkloadsQuery) {
  const { search, descending, offset } = query;
  const sort = sortable.find((key) => key === query.sort) ?? 'namespace';
  const wanted = search.toLowerCase();
  const rows = scopesFor(known, access)
    .map((record) => ({ record, row: rowOf(record) }))
    .filter(
      ({ record, row: { namespace, name, reason, mode } }) =>
        `${namespace}/${name} ${reason} ${mode}`.toLowerCase().includes(wanted) ||
        record.status?.hosts.some(({ host }) => host.toLowerCase().includes(wanted)),
    )
    .map(({ row }) => row)
    .sort(
      (a, b) =>
        compare(a[sort], b[sort]) || compare(a.namespace, b.namespace) || compare(a.name, b.name),
    );
  if (descending) rows.reverse();
  const items = rows.slice(offset, offset + answerBounds.workloads);
  return { ...timesOf(known), total: rows.length, offset, items };
}

function compare(a: string | number, b: string | number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Undefined for a workload that does not exist, or that the user may not see. */
export function workload(known: Known, access: Access, namespace: string, name: string) {
  const { scopes, history } = known;
  const record = maySee(access, namespace) ? scopes.get(namespace, name) : undefined;
  if (!record) return undefined;
  const at = known.now();
  const hour = { from: at - 3_600_000, to: at };
  const { own, others } = edgesAbout(access, record);
  const calls = new Map(
    history.edges.within(0, hour, own).map((edge) => [edge.host, edge.calls] as const),
  );
  const callers = history.edges.within(0, hour, others).sort((a, b) => b.calls - a.calls);
  const { conditions = [], hosts = [] } = record.status ?? {};
  return {
    ...timesOf(known),
    ...rowOf(record),
    selector: record.selector,
    conditions,
    hosts: hosts.map(({ firstSeen, lastSeen, ...host }) => ({
      ...host,
      firstSeen: Date.parse(firstSeen ?? '') || 0,
      lastSeen: Date.parse(lastSeen ?? '') || 0,
      callsLastHour: calls.get(host.host) ?? 0,
    })),
    /** Visible workloads that called one of the hosts that it serves. */
    callers: callers.slice(0, answerBounds.callers).map(({ calls, total: _, ...edge }) => ({
      ...edge,
      callsLastHour: calls,
    })),
    yaml: yamlOf(record),
    changes: changesFor(known, access, 0)
      .filter((change) => change.namespace === namespace && change.workload === name)
      .slice(-100),
  };
}

/** Which edges a workload is the caller of, and which visible ones of others end at its hosts. */
export function edgesAbout(access: Access, record: ScopeRecord) {
  const { namespace, name } = record;
  const served = new Set(servedBy(record));
  const own = (edge: Called) => edge.namespace === namespace && edge.workload === name;
  const others = (edge: Called) =>
    served.has(edge.host) && !own(edge) && maySee(access, edge.namespace);
  return { own, others };
}

export function servedBy({ status }: ScopeRecord): string[] {
  return (status?.hosts ?? []).filter(({ reason }) => reason === 'served').map(({ host }) => host);
}

export type ChangesQuery = {
  /** Only those with a larger number. */
  since: number;
  /** Milliseconds since the epoch; both ends belong to it. */
  from: number;
  to: number;
  /** Empty: all. */
  namespace: string;
  workload: string;
  limit: number;
  /** The first ones of that time, in place of the last ones. */
  isFirst: boolean;
};

/** Changes oldest first, of at most `limit` the newest or, of `isFirst`, the oldest. */
export function changes(known: Known, access: Access, query: ChangesQuery) {
  const { since, from, to, namespace, workload: name, limit, isFirst } = query;
  const found = changesFor(known, access, since).filter(
    (change) =>
      change.at >= from &&
      change.at <= to &&
      (namespace === '' || change.namespace === namespace) &&
      (name === '' || change.workload === name),
  );
  const kept = isFirst ? found.slice(0, limit) : found.slice(-limit);
  return { ...timesOf(known), changes: kept };
}

/** Changes after a number that the user may see, oldest first, at most all that are kept. */
export function changesFor({ history }: Known, access: Access, since: number): Change[] {
  const found = history.changes.since(since).slice(-changesMax);
  return found.filter(({ namespace }) => maySee(access, namespace));
}
