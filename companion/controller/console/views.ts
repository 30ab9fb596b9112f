import { type Change, changesMax } from '../../core/history/changes.ts';
import { type History, levelFor, spanOf } from '../../core/history/history.ts';
import { figureLevels } from '../../core/history/series.ts';
import { conditionIn } from '../../core/scope/condition.ts';
import type { ScopeRecord } from '../../core/scope/workload-scope.ts';
import type { State } from '../state/state.ts';
import { type Access, maySee } from './access.ts';

/** What the page shows, as JSON; docs/console.md lists the fields. Times are milliseconds. */

export type Known = { state: State; history: History; now: () => number };

/** Most rows of a page of workloads, edges of a topology, changes, and what needs somebody. */
export const answerBounds = { workloads: 500, edges: 5_000, changes: 1_000, attention: 50 };

type Row = ReturnType<typeof rowOf>;

function scopesFor({ state }: Known, access: Access): ScopeRecord[] {
  return [...state.scopes.values()].filter(({ namespace }) => maySee(access, namespace));
}

function rowOf({ namespace, name, status }: ScopeRecord) {
  const scoped = conditionIn(status, 'Scoped');
  const { before = 0, after = 0 } = status?.clusters ?? {};
  const { beforeBytes = 0, afterBytes = 0 } = status?.memory ?? {};
  const proxies = status?.proxies.scoped ?? 0;
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
    /** Over all its proxies that carry the scope. */
    saved: afterBytes > 0 ? Math.max(0, beforeBytes - afterBytes) * proxies : 0,
    lastSeen: Date.parse(status?.lastSeen ?? '') || 0,
  };
}

function timesOf({ history, now }: Known) {
  return { now: now(), beginsAt: history.beginsAt(), newestChange: history.changes.newest() };
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
    reasons: tally(rows.filter(({ scoped }) => !scoped).map(({ reason }) => reason)),
    modes: tally(rows.map(({ mode }) => mode)),
    namespaces,
    attention: attentionOf(scopes).slice(0, answerBounds.attention),
  };
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
    .map(rowOf)
    .filter(({ namespace, name, reason, mode }) =>
      `${namespace}/${name} ${reason} ${mode}`.toLowerCase().includes(wanted),
    )
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
  const { state, history } = known;
  const record = maySee(access, namespace) ? state.scopes.get(namespace, name) : undefined;
  if (!record) return undefined;
  const at = known.now();
  const hour = { from: at - 3_600_000, to: at };
  const calls = new Map(
    history.edges
      .within(0, hour)
      .filter((edge) => edge.namespace === namespace && edge.workload === name)
      .map((edge) => [edge.host, edge.calls]),
  );
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

/** `at`: the end of the time that is shown, `minutes` long. */
export function topology(known: Known, access: Access, at: number, minutes: number) {
  const { history, now } = known;
  const to = Math.min(at, now());
  const range = { from: to - minutes * 60_000, to };
  const level = levelFor(range.from, now());
  const edges = history.edges
    .within(level, range)
    .filter(({ namespace }) => maySee(access, namespace))
    .sort((a, b) => b.calls - a.calls);
  const perSecond = 1_000 / spanOf(level, range);
  return {
    ...timesOf(known),
    ...range,
    /** Edges with fewer calls than these were left out. */
    leftOut: Math.max(0, edges.length - answerBounds.edges),
    edges: edges.slice(0, answerBounds.edges).map(({ calls, total: _, ...edge }) => ({
      ...edge,
      rate: calls * perSecond,
    })),
  };
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
