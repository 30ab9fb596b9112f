import { edgesOf, hostsOf } from '../../companion/controller/reconcile/inputs.ts';
import { counted } from '../../companion/core/mesh/counted.ts';
import { shownTo } from '../../companion/core/mesh/host-lookup.ts';
import { timeOf } from '../../companion/core/scope/condition.ts';
import { type Edge, mergeEdges } from '../../companion/core/scope/edges.ts';
import { entryOf, isOwnReason, type ScopeHost } from '../../companion/core/scope/hosts.ts';
import { shadowedSidecar } from '../../companion/core/scope/sidecar.ts';
import type { Workload } from '../../companion/core/scope/workload.ts';
import { readWorkloadScope, workloadScopeOf } from '../../companion/core/scope/workload-scope.ts';
import { someOf } from '../core/finding.ts';
import type { Seen, Tally } from '../core/log-tally.ts';
import { type Exported, plainSidecar } from '../core/plain-sidecar.ts';
import { megabytes } from '../core/status-text.ts';
import { whyOf } from '../core/why.ts';
import { bytesPerCluster, clustersOf, visibleHosts } from './clusters.ts';
import type { Mesh } from './read.ts';
import { life } from './workload.ts';

export type Confidence = 'low' | 'medium' | 'high';

export type Recommendation = Exported & {
  calls: number;
  confidence: Confidence;
  /** Of one proxy, without those of subsets: with everything, and with this Sidecar. */
  clusters: { before: number; after: number };
  /** Predicted, of one proxy. */
  savedBytes: number;
  /** Hosts of the logs that no object of the cluster has any more. */
  gone: string[];
};

export type Recommended = {
  recommendations: Recommendation[];
  /** Callers of the logs that are no workload of the cluster. */
  strangers: string[];
};

type Called = { workload: Workload; hosts: Map<string, Seen> };

/** A Sidecar for each workload whose calls the logs have. `learned`: with what scopes know, too. */
export function recommend(mesh: Mesh, tally: Tally, learned: boolean): Recommended {
  const called = new Map<Workload, Called>();
  const strangers: string[] = [];
  for (const [key, hosts] of tally.byPod) {
    const workload = workloadOf(mesh, key);
    if (!workload) strangers.push(key);
    else called.set(workload, { workload, hosts: merged(called.get(workload)?.hosts, hosts) });
  }
  const recommendations = [...called.values()]
    .flatMap((each) => recommendationOf(mesh, each, tally, learned) ?? [])
    .sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
  return { recommendations, strangers: strangers.sort() };
}

/** By the name of a pod, of a workload, or of a pod that is gone and had a generated name. */
function workloadOf({ state }: Mesh, key: string): Workload | undefined {
  const [namespace = '', name = ''] = key.split('/');
  const pod = state.catalog.pod(namespace, name);
  const known = pod && state.workloadOf(pod);
  if (known) return known;
  const workloads = state.workloads(namespace);
  const [longest] = workloads
    .flatMap((workload) => workload.owners.map((owner) => ({ workload, owner })))
    .filter(({ owner }) => name === owner || isPodOf(name, owner))
    .sort((a, b) => b.owner.length - a.owner.length);
  return longest?.workload;
}

/** Of a ReplicaSet, a DaemonSet or a StatefulSet. */
function isPodOf(name: string, owner: string): boolean {
  if (!name.startsWith(`${owner}-`)) return false;
  return /^([a-z0-9]{5,10}-)?[a-z0-9]{5}$|^\d+$/.test(name.slice(owner.length + 1));
}

function merged(a: Map<string, Seen> | undefined, b: Map<string, Seen>): Map<string, Seen> {
  const all = new Map(a);
  for (const [host, seen] of b) {
    const known = all.get(host);
    all.set(host, {
      count: seen.count + (known?.count ?? 0),
      first: least(seen.first, known?.first),
      last: most(seen.last, known?.last),
    });
  }
  return all;
}

const least = (a: number | undefined, b: number | undefined) =>
  a === undefined ? b : Math.min(a, b ?? a);
const most = (a: number | undefined, b: number | undefined) =>
  a === undefined ? b : Math.max(a, b ?? a);

function recommendationOf(
  mesh: Mesh,
  { workload, hosts: seen }: Called,
  tally: Tally,
  learned: boolean,
): Recommendation | undefined {
  const { state, look, config } = mesh;
  const { namespace, name, selector } = workload;
  if (Object.keys(selector).length === 0) return undefined;
  const edges: (Edge & { seen: Seen })[] = [];
  const gone: string[] = [];
  for (const [host, each] of seen) {
    const [record] = shownTo(state.catalog, state.catalog.hosts.exact(host), namespace);
    const at = { firstSeen: each.first ?? 0, lastSeen: each.last ?? 0 };
    if (record) edges.push({ namespace: record.namespace, host, ...at, seen: each });
    else gone.push(host);
  }
  const scope = state.scopes.get(namespace, name) ?? readWorkloadScope(workloadScopeOf(workload));
  const all = mergeEdges([...edges, ...(learned ? edgesOf(state, workload) : [])]);
  const { hosts } = hostsOf({ ...look, life }, workload, scope, all);
  const wanted = hosts.filter(({ reason }) => !isOwnReason(reason));
  if (wanted.length === 0) return undefined;
  const counts = new Map(edges.map((edge) => [entryOf(edge), edge.seen]));
  const sizes = sizesOf(mesh, namespace, wanted);
  const confidence = confidenceOf(tally);
  const sidecars = [namespace, config.rootNamespace].flatMap((each) => [
    ...state.sidecars.in(each),
  ]);
  const exported = plainSidecar({
    ...{ namespace, name, selector },
    hosts: wanted.map((host) => ({
      entry: host.entry,
      comment: commentOf(mesh, host, counts.get(host.entry)),
    })),
    shadowed: shadowedSidecar(sidecars, workload, config.rootNamespace),
    comment: commentLines(workload, tally, { confidence, gone, ...sizes }),
  });
  const calls = edges.reduce((sum, edge) => sum + edge.seen.count, 0);
  return { ...exported, ...{ calls, confidence, gone: gone.sort(), ...sizes } };
}

function sizesOf({ state }: Mesh, namespace: string, hosts: readonly ScopeHost[]) {
  const visible = visibleHosts(state.catalog, namespace);
  const byHost = new Map(visible.map((record) => [record.host, record]));
  const imported = hosts.flatMap(
    ({ entry }) => byHost.get(entry.slice(entry.indexOf('/') + 1)) ?? [],
  );
  const clusters = { before: clustersOf(visible), after: clustersOf(imported) };
  const { bytes } = bytesPerCluster(state);
  return { clusters, savedBytes: Math.round((clusters.before - clusters.after) * bytes) };
}

function commentOf({ state }: Mesh, host: ScopeHost, seen: Seen | undefined): string {
  if (!seen) return `${host.reason}: ${whyOf(state.catalog, host)}`;
  const last = seen.last === undefined ? '' : `, last ${timeOf(seen.last)}`;
  return `logged: ${counted(seen.count, 'call')}${last}`;
}

const dayMs = 86_400_000;

/** By the window of the logs: a day has the nightly jobs, a week those of the weekend. */
function confidenceOf({ first, last }: Tally): Confidence {
  const window = first === undefined || last === undefined ? 0 : last - first;
  return window < dayMs ? 'low' : window < 7 * dayMs ? 'medium' : 'high';
}

function commentLines(
  { namespace, name }: Workload,
  { first, last }: Tally,
  found: Pick<Recommendation, 'confidence' | 'gone' | 'clusters' | 'savedBytes'>,
): string[] {
  const { confidence, gone, clusters, savedBytes } = found;
  const window =
    first === undefined || last === undefined
      ? 'logs without times'
      : `logs from ${timeOf(first)} to ${timeOf(last)}`;
  return [
    `Workload ${namespace}/${name}, recommended by ${window}. Confidence: ${confidence}.`,
    'Logs do not have: calls outside of that window, connections that are still open, and workloads',
    'that log nothing or a sample only.',
    `Predicted for a proxy: ${clusters.after} of ${counted(clusters.before, 'cluster')}, ${megabytes(savedBytes)} less.`,
    ...(gone.length > 0
      ? [`Left out, as the cluster has them no more: ${someOf(gone.sort())}.`]
      : []),
  ];
}
