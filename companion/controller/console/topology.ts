import type { Called, EdgeCalls } from '../../core/history/edges.ts';
import { coveredMs, levelFor } from '../../core/history/history.ts';
import { type Access, maySee } from './access.ts';
import { answerBounds, edgesAbout, type Known, timesOf } from './views.ts';

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

/** Counts of a shorter time say little of a rate: filters report once a second at most. */
const shortestMs = 1_000;

export function topology(known: Known, access: Access, query: TopologyQuery) {
  const { history, now } = known;
  const to = Math.min(query.at, now());
  const range = { from: to - query.minutes * 60_000, to };
  const level = levelFor(range.from, now());
  const found = history.edges.within(level, range, wantedBy(known, access, query));
  const covered = coveredMs(level, range, { beginsAt: history.beginsAt(), now: now() });
  const rate = (calls: number) => (calls * 1_000) / Math.max(covered, shortestMs);
  const common = {
    ...timesOf(known),
    ...range,
    /** Less than the range where that reaches back before the history begins. */
    covered: Math.min(covered, query.minutes * 60_000),
  };
  if (query.byNamespace) {
    const between = byNamespace(found).map(({ calls, ...pair }) => ({
      ...pair,
      rate: rate(calls),
    }));
    const kept = between.slice(0, answerBounds.edges);
    return { ...common, leftOut: between.length - kept.length, namespaces: kept, edges: [] };
  }
  const kept = found.sort((a, b) => b.calls - a.calls).slice(0, answerBounds.edges);
  return {
    ...common,
    /** Edges with fewer calls than these were left out. */
    leftOut: found.length - kept.length,
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
