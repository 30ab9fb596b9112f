import { type Change, changesMax } from '../../core/history/changes.ts';
import type { Called } from '../../core/history/edges.ts';
import type { History } from '../../core/history/history.ts';
import { figureLevels } from '../../core/history/series.ts';
import { conditionIn } from '../../core/scope/condition.ts';
import { type ScopeRecord, savedBytes } from '../../core/scope/workload-scope.ts';
import type { Explained } from '../explain/known.ts';
import type { NamespacedTable } from '../state/namespaced-table.ts';
import { type Access, maySee } from './access.ts';
import { yamlOf } from './scope-yaml.ts';

/** What the page shows, as JSON; docs/console.md lists the fields. Times are milliseconds. */

export type Known = {
  scopes: Pick<NamespacedTable<ScopeRecord>, 'get' | 'values'>;
  history: History;
  now: () => number;
  /** What explains calls; without it none is explained. */
  explained?: Explained;
  /** Namespaces of which everything is made up, as in the demo; the page marks them. */
  played?: readonly string[] | undefined;
};

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

/** What every answer has. */
export function timesOf({ history, now, played }: Known) {
  const newestChange = history.changes.newest();
  return { now: now(), beginsAt: history.beginsAt(), newestChange, ...(played && { played }) };
}

export function overview(known: Known, access: Access) {
  const scopes = scopesFor(known, access);
  const rows = scopes.map(rowOf);
  const sum = (of: readonly Row[], value: (row: Row) => number) =>
    of.reduce((total, row) => total + value(row), 0);
  const namespaces = [...new Set(rows.map(({ namespace }) => namespace))].sort().map((name) => {
    const own = rows.filter(({ namespace }) => namespace === name);
    return {
      namespace: name,
      workloads: own.length,
      scoped: own.filter(({ scoped }) => scoped).length,
      saved: sum(own, ({ saved }) => saved),
    };
  });
  const withBoth = rows.filter(({ clustersAfter }) => clustersAfter > 0);
  return {
    ...timesOf(known),
    everything: access.all,
    workloads: rows.length,
    scoped: rows.filter(({ scoped }) => scoped).length,
    proxies: sum(rows, ({ proxies }) => proxies),
    saved: sum(rows, ({ saved }) => saved),
    clusters: {
      before: sum(withBoth, ({ clustersBefore }) => clustersBefore),
      after: sum(withBoth, ({ clustersAfter }) => clustersAfter),
    },
    savedOverTime: savedOverTime(known, rows),
    reasons: tally(rows.filter(({ scoped }) => !scoped).map(({ reason }) => reason)),
    modes: tally(rows.map(({ mode }) => mode)),
    namespaces,
    attention: attentionOf(scopes).slice(0, answerBounds.attention),
  };
}

/** Memory of all measured sidecars in bins of a day: as it was, and with full configuration. */
function savedOverTime({ history, now }: Known, rows: readonly Row[]) {
  const at = now();
  const day = { from: at - 86_400_000, to: at };
  const [is, full]: [number[], number[]] = [[], []];
  for (const { namespace, name, memoryBefore, proxies } of rows) {
    const series = history.figures.series(`${namespace}/${name}`, 'memory', 0, day);
    let last = 0;
    for (const [bin, measured] of series.entries()) {
      // A sidecar that was not measured in a bin has what it had before.
      last = measured || last;
      is[bin] = (is[bin] ?? 0) + last * proxies;
      full[bin] = (full[bin] ?? 0) + (last > 0 ? Math.max(last, memoryBefore) * proxies : 0);
    }
  }
  return { binMs: figureLevels[0]?.binMs, from: day.from, is, full };
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
  const day = { from: at - 86_400_000, to: at };
  const series = (figure: 'memory' | 'clusters') =>
    history.figures.series(`${namespace}/${name}`, figure, 0, day);
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
    figures: {
      binMs: figureLevels[0]?.binMs,
      memory: series('memory'),
      clusters: series('clusters'),
    },
    changes: changesFor(known, access, 0)
      .filter((change) => change.namespace === namespace && change.workload === name)
      .slice(-100),
  };
}

/** Which edges a workload is the caller of, and which visible ones of others end at its hosts. */
export function edgesAbout(access: Access, { namespace, name, status }: ScopeRecord) {
  const served = new Set(
    (status?.hosts ?? []).filter(({ reason }) => reason === 'served').map(({ host }) => host),
  );
  const own = (edge: Called) => edge.namespace === namespace && edge.workload === name;
  const others = (edge: Called) =>
    served.has(edge.host) && !own(edge) && maySee(access, edge.namespace);
  return { own, others };
}

/** The newest changes after a number. */
export function changes(known: Known, access: Access, since: number) {
  const found = changesFor(known, access, since);
  return { ...timesOf(known), changes: found.slice(-answerBounds.changes) };
}

/** Changes after a number that the user may see, oldest first, at most all that are kept. */
export function changesFor({ history }: Known, access: Access, since: number): Change[] {
  const found = history.changes.since(since).slice(-changesMax);
  return found.filter(({ namespace }) => maySee(access, namespace));
}
