import { life } from '../../companion/controller/explain/known.ts';
import { edgesOf, hostsOf } from '../../companion/controller/reconcile/inputs.ts';
import { counted } from '../../companion/core/mesh/counted.ts';
import { shownTo } from '../../companion/core/mesh/host-lookup.ts';
import { timeOf } from '../../companion/core/scope/condition.ts';
import { type Edge, mergeEdges } from '../../companion/core/scope/edges.ts';
import { entryOf, isOwnReason, type ScopeHost } from '../../companion/core/scope/hosts.ts';
import { shadowedSidecar } from '../../companion/core/scope/sidecar.ts';
import { whyOf } from '../../companion/core/scope/why.ts';
import type { Workload } from '../../companion/core/scope/workload.ts';
import { readWorkloadScope, workloadScopeOf } from '../../companion/core/scope/workload-scope.ts';
import { someOf } from '../core/finding.ts';
import { type Exported, plainSidecar } from '../core/plain-sidecar.ts';
import type { Size } from '../core/prediction.ts';
import {
  blindSpots,
  type Confidence,
  confidenceOf,
  type Seen,
  type Sightings,
  together,
} from '../core/sightings.ts';
import { megabytes } from '../core/status-text.ts';
import { predictedSizes } from './clusters.ts';
import type { Mesh } from './read.ts';

export type Recommendation = Exported & {
  calls: number;
  confidence: Confidence;
  /** Predicted, of one proxy: with everything that its namespace sees, and with this Sidecar. */
  predicted: { before: Size; after: Size };
  /** Hosts that were called, and that no object of the cluster has any more. */
  gone: string[];
};

export type Recommended = {
  recommendations: Recommendation[];
  /** Callers that are no workload of the cluster. */
  strangers: string[];
};

/** What one source has of a workload. */
type Source = Pick<Sightings, 'source' | 'first' | 'last'> & { hosts: Map<string, Seen> };

/**
 * A Sidecar for each workload of which a source has calls. `learned`: with what scopes know, too;
 * without any source, of each workload that has learned.
 */
export function recommend(
  mesh: Mesh,
  sources: readonly Sightings[],
  learned: boolean,
  namespace?: string,
): Recommended {
  const called = new Map<Workload, Source[]>();
  const strangers = new Set<string>();
  if (learned && sources.length === 0)
    for (const workload of workloadsIn(mesh, namespace)) called.set(workload, []);
  for (const { source, byCaller, first, last } of sources) {
    for (const [key, hosts] of byCaller) {
      const workload = workloadOf(mesh, key);
      if (!workload) {
        strangers.add(key);
        continue;
      }
      const known = called.get(workload) ?? [];
      called.set(workload, known);
      const own = known.find((each) => each.source === source) ?? {
        ...{ source, first, last },
        hosts: new Map<string, Seen>(),
      };
      if (!known.includes(own)) known.push(own);
      for (const [host, seen] of hosts) own.hosts.set(host, together(own.hosts.get(host), seen));
    }
  }
  const recommendations = [...called]
    .flatMap(([workload, own]) => recommendationOf(mesh, workload, own, learned) ?? [])
    .sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
  return { recommendations, strangers: [...strangers].sort() };
}

function workloadsIn({ state }: Mesh, namespace: string | undefined): Workload[] {
  const names = namespace === undefined ? [...state.namespaces.keys()] : [namespace];
  return names
    .flatMap((each) => state.workloads(each))
    .filter((workload) => edgesOf(state, workload).length > 0);
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

function recommendationOf(
  mesh: Mesh,
  workload: Workload,
  sources: readonly Source[],
  isAsked: boolean,
): Recommendation | undefined {
  const { state, look, config } = mesh;
  const { namespace, name, selector } = workload;
  if (Object.keys(selector).length === 0) return undefined;
  const edges = new Map<string, Edge>();
  const gone = new Set<string>();
  for (const { hosts } of sources) {
    for (const [host, { first = 0, last = 0 }] of hosts) {
      const [record] = shownTo(state.catalog, state.catalog.hosts.exact(host), namespace);
      if (!record) gone.add(host);
      else {
        const edge = { namespace: record.namespace, host, firstSeen: first, lastSeen: last };
        edges.set(entryOf(edge), edge);
      }
    }
  }
  const scope = state.scopes.get(namespace, name) ?? readWorkloadScope(workloadScopeOf(workload));
  const learned = isAsked ? edgesOf(state, workload) : [];
  const { hosts } = hostsOf(
    { ...look, life },
    workload,
    scope,
    mergeEdges([...edges.values(), ...learned]),
  );
  const wanted = hosts.filter(({ reason }) => !isOwnReason(reason));
  if (wanted.length === 0) return undefined;
  const known = new Map(learned.map((edge) => [entryOf(edge), edge]));
  const found = {
    confidence: confidenceOf([...sources, ...windowOf(learned)]),
    gone: [...gone].sort(),
    predicted: predictedSizes(
      mesh,
      workload,
      wanted.map(({ entry }) => entry),
    ),
  };
  const sidecars = [namespace, config.rootNamespace].flatMap((each) => [
    ...state.sidecars.in(each),
  ]);
  const exported = plainSidecar({
    ...{ namespace, name, selector },
    hosts: wanted.map((host) => ({
      entry: host.entry,
      comment: commentOf(mesh, host, sources, known),
    })),
    shadowed: shadowedSidecar(sidecars, workload, config.rootNamespace),
    comment: commentLines(workload, sources, isAsked, found),
  });
  const calls = sources
    .flatMap((source) => [...source.hosts.values()])
    .reduce((sum, { count }) => sum + count, 0);
  return { ...exported, calls, ...found };
}

/** Scopes cover the time from their first call to their last one. */
function windowOf(learned: readonly Edge[]): Pick<Sightings, 'first' | 'last'>[] {
  if (learned.length === 0) return [];
  return [
    {
      first: Math.min(...learned.map(({ firstSeen }) => firstSeen)),
      last: Math.max(...learned.map(({ lastSeen }) => lastSeen)),
    },
  ];
}

/** Where a host was seen, how often and when last; else why it is needed without a call. */
function commentOf(
  { state }: Mesh,
  host: ScopeHost,
  sources: readonly Source[],
  learned: ReadonlyMap<string, Edge>,
): string {
  const name = host.entry.slice(host.entry.indexOf('/') + 1);
  const seen = sources.flatMap(({ source, hosts }) => {
    const found = hosts.get(name);
    if (!found) return [];
    const often = found.count > 0 ? counted(found.count, 'call') : 'an open connection';
    const last = found.last === undefined ? '' : `, last ${timeOf(found.last)}`;
    return `${sourceNames[source]}: ${often}${last}`;
  });
  const edge = learned.get(host.entry);
  if (edge) seen.push(`learned: since ${timeOf(edge.firstSeen)}`);
  return seen.length > 0 ? seen.join('; ') : `${host.reason}: ${whyOf(state.catalog, host)}`;
}

const sourceNames: Record<Sightings['source'], string> = { logs: 'logged', metrics: 'metrics' };

function commentLines(
  { namespace, name }: Workload,
  sources: readonly Source[],
  isLearned: boolean,
  { confidence, gone, predicted }: Pick<Recommendation, 'confidence' | 'gone' | 'predicted'>,
): string[] {
  const { before, after } = predicted;
  const from = sources.map(({ source, first, last }) =>
    first === undefined || last === undefined
      ? `${source} without times`
      : `${source} from ${timeOf(first)} to ${timeOf(last)}`,
  );
  if (isLearned) from.push('what its WorkloadScope has learned');
  return [
    `Workload ${namespace}/${name}, recommended by ${from.join(', and by ')}. Confidence: ${confidence}.`,
    ...sources.flatMap(({ source }) => blindSpots[source]),
    `Predicted for a proxy: ${after.clusters} of ${counted(before.clusters, 'cluster')}, ${megabytes(after.memoryBytes)} of ${megabytes(before.memoryBytes)} of memory,`,
    `${megabytes(after.configurationBytes)} of ${megabytes(before.configurationBytes)} of configuration.`,
    ...(gone.length > 0
      ? [`Left out, because no object of the cluster has them: ${someOf(gone)}.`]
      : []),
  ];
}
