import type { Called, EdgeCalls } from '../../core/history/edges.ts';
import { coveredMs, levelFor } from '../../core/history/history.ts';
import { countLevels } from '../../core/history/series.ts';
import { type Access, maySee } from './access.ts';
import { historyDays } from './figures.ts';
import { type Known, timesOf } from './known.ts';
import { createMarks, type Mark, type Marks } from './marks.ts';
import type { Past } from './past.ts';
import { NoAnswer } from './prometheus.ts';
import { answerBounds, edgesAbout, servedBy } from './views.ts';

/** Who called whom within a time, at the distance that is asked for. */

export type TopologyQuery = {
  /** The end of the time, and its length. */
  at: number;
  minutes: number;
  /** Empty: all namespaces. */
  namespace: string;
  /** Empty: all workloads of the namespace. */
  workload: string;
  /** A part of the name of a workload or host; empty: all. */
  search: string;
  /** Sums by namespace in place of pairs of workload and host. */
  byNamespace: boolean;
};

/** A time that is later than that long ago is now. */
const nowMs = 5_000;
/** Counts of a shorter time say little of a rate: filters report once a second at most. */
const shortestMs = 1_000;

export async function topology(known: Known, access: Access, query: TopologyQuery) {
  const to = Math.min(query.at, known.now());
  const oldest = Math.max(known.history.beginsAt(), known.now() - historyDays * 86_400_000);
  if (known.past && to <= oldest) return pastTopology(known, known.past, access, query);
  const found = inHistory(known, access, query, to);
  const marks = createMarks((of, name) => known.scopes.get(of, name), known.now());
  // Scopes are known as they are now only.
  const isNow = query.at >= known.now() - nowMs && !query.byNamespace;
  const edges = isNow
    ? marked(found.edges, marks, idleFor(known, access, query, marks))
    : found.edges;
  return answerOf(known, query, { ...found, edges, source: 'history' });
}

/** Calls within a time; `covered` is less than it where it reaches back before what is known. */
type Found = {
  edges: (EdgeCalls & Mark)[];
  from: number;
  to: number;
  covered: number;
  /** The length of the bins that counts are taken from: a time within one is not known apart. */
  binMs: number;
  source: 'history' | 'prometheus';
  /** Why nothing is known. */
  refused?: string;
};

function inHistory(known: Known, access: Access, query: TopologyQuery, to: number) {
  const { history, now } = known;
  const range = { from: to - query.minutes * 60_000, to };
  const level = levelFor(range.from, now());
  const edges = history.edges.within(level, range, wantedBy(known, access, query));
  const covered = coveredMs(level, range, { beginsAt: history.beginsAt(), now: now() });
  return { ...range, edges, covered, binMs: countLevels[level]?.binMs ?? 0 };
}

type Idle = (isCalled: (edge: Called) => boolean) => (EdgeCalls & Mark)[];

/** Of one namespace or workload; all namespaces together have too many to be drawn. */
function idleFor(known: Known, access: Access, query: TopologyQuery, marks: Marks): Idle {
  const isWanted = wantedBy(known, access, query);
  const scopes = [...known.scopes.values()].filter(
    ({ namespace, name }) =>
      namespace === query.namespace &&
      maySee(access, namespace) &&
      (query.workload === '' || name === query.workload),
  );
  return (isCalled) =>
    scopes.flatMap((record) => {
      const { namespace, name: workload } = record;
      return marks.idle(record, (host) => isCalled({ namespace, workload, host })).filter(isWanted);
    });
}

function marked(edges: readonly EdgeCalls[], marks: Marks, idle: Idle): (EdgeCalls & Mark)[] {
  const keyOf = ({ namespace, workload, host }: Called) => `${namespace}/${workload} ${host}`;
  const called = new Set(edges.map(keyOf));
  const own = edges.map((edge) => Object.assign(edge, marks.of(edge)));
  return [...own, ...idle((edge) => called.has(keyOf(edge)))];
}

async function pastTopology(known: Known, past: Past, access: Access, query: TopologyQuery) {
  const { at: to, minutes, namespace, workload } = query;
  const record = maySee(access, namespace) ? known.scopes.get(namespace, workload) : undefined;
  const source = 'prometheus' as const;
  try {
    const hosts = record ? servedBy(record) : [];
    const found = await past.edges(access, { to, minutes, namespace, workload, hosts });
    const edges = found.edges.filter(wantedBy(known, access, query));
    return answerOf(known, query, {
      ...found,
      edges,
      covered: found.to - found.from,
      binMs: 60_000,
      source,
    });
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    const nothing = { edges: [], covered: 0, binMs: 60_000, from: to - minutes * 60_000, to };
    return answerOf(known, query, { ...nothing, source, refused: `${error.message}.` });
  }
}

function answerOf(known: Known, query: TopologyQuery, found: Found) {
  const { edges, covered, ...more } = found;
  const rate = (calls: number) => (calls * 1_000) / Math.max(covered, shortestMs);
  const range = more.to - more.from;
  const common = { ...timesOf(known), ...more, covered: Math.min(covered, range) };
  if (query.byNamespace) {
    const between = byNamespace(edges).map(({ calls, ...pair }) => ({
      ...pair,
      rate: rate(calls),
    }));
    const kept = between.slice(0, answerBounds.edges);
    return { ...common, leftOut: between.length - kept.length, namespaces: kept, edges: [] };
  }
  const kept = edges.sort((a, b) => b.calls - a.calls).slice(0, answerBounds.edges);
  return {
    ...common,
    /** Edges with fewer calls than these were left out. */
    leftOut: edges.length - kept.length,
    namespaces: [],
    edges: kept.map(({ calls, total: _, ...edge }) => ({ ...edge, rate: rate(calls) })),
  };
}

function wantedBy(known: Known, access: Access, query: TopologyQuery) {
  const { namespace, workload } = query;
  const search = query.search.toLowerCase();
  // What a workload of another tenant serves stays hidden, even from its callers.
  const record = maySee(access, namespace) ? known.scopes.get(namespace, workload) : undefined;
  const about = record && edgesAbout(access, record);
  return (edge: Called): boolean => {
    const isNamed =
      search === '' ||
      `${edge.namespace}/${edge.workload}`.toLowerCase().includes(search) ||
      edge.host.toLowerCase().includes(search);
    if (!isNamed) return false;
    if (workload !== '' && about?.others(edge)) return true;
    return (
      maySee(access, edge.namespace) &&
      (namespace === '' || edge.namespace === namespace) &&
      (workload === '' || edge.workload === workload)
    );
  };
}

/** A Service of the cluster has `svc` in its name; what else is called is outside. */
const isService = (host: string) => /\.svc\./.test(host);

/** Sums by the namespaces of both ends, those with most calls first. */
function byNamespace(edges: readonly EdgeCalls[]) {
  const pairs = new Map<string, Pair>();
  for (const { namespace, host, firstAt, lastAt, calls } of edges) {
    const isOutside = !isService(host);
    const to = isOutside ? '' : (host.split('/')[0] ?? '');
    const key = `${namespace} ${to}`;
    const pair = pairs.get(key) ?? {
      ...{ namespace, to, isOutside, calls: 0, pairs: 0, firstAt, lastAt },
    };
    pair.calls += calls;
    pair.pairs += 1;
    pair.firstAt = Math.min(pair.firstAt, firstAt);
    pair.lastAt = Math.max(pair.lastAt, lastAt);
    pairs.set(key, pair);
  }
  return [...pairs.values()].sort((a, b) => b.calls - a.calls);
}

type Pair = {
  namespace: string;
  /** Empty for what is outside the mesh's Services. */
  to: string;
  isOutside: boolean;
  calls: number;
  /** Of a workload and a host. */
  pairs: number;
  firstAt: number;
  lastAt: number;
};
