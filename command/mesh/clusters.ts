import type { State } from '../../companion/controller/state/state.ts';
import type { Catalog } from '../../companion/core/mesh/catalog.ts';
import { counted } from '../../companion/core/mesh/counted.ts';
import type { HostRecord } from '../../companion/core/mesh/records.ts';
import type { Workload } from '../../companion/core/scope/workload.ts';
import { modelOf, type Size, type SizeModel, sizeOf } from '../core/prediction.ts';
import type { Mesh } from './read.ts';

/** How many clusters a proxy has, and what they take. */

/** Every host of the registry that sidecars of a namespace see, each once. */
export function visibleHosts(catalog: Catalog, namespace: string): HostRecord[] {
  const found = new Map<string, HostRecord>();
  for (const host of catalog.hosts.patterns()) {
    const record = catalog.hosts.exact(host).find((each) => catalog.isVisible(each, namespace));
    if (record) found.set(host, record);
  }
  return [...found.values()];
}

/**
 * Clusters that proxies of a namespace have for these hosts: one for each port that is not UDP, and
 * one more for each subset that the DestinationRule in force names. A Service of type ExternalName
 * is another name and has none (pilot/pkg/networking/core/cluster.go, buildOutboundClusters).
 */
export function clustersOf(mesh: Mesh, records: readonly HostRecord[], namespace: string): number {
  return records.reduce((sum, record) => {
    if (record.aliasOf !== '') return sum;
    const ports = record.ports.filter(({ protocol }) => protocol !== 'udp').length;
    return sum + ports * (1 + subsetsOf(mesh, record, namespace));
  }, 0);
}

/** Of the rules in the first namespace that has some: the caller's, the host's, the root one. */
function subsetsOf({ state, config, subsets }: Mesh, record: HostRecord, from: string): number {
  const { catalog } = state;
  for (const owner of [from, record.namespace, config.rootNamespace]) {
    const rules = catalog.destinationRules.mostSpecific(
      record.host,
      (rule) => rule.namespace === owner && catalog.isVisible(rule, from),
    );
    if (rules.length > 0)
      return rules.reduce((sum, rule) => sum + (subsets.get(`${owner}/${rule.name}`) ?? 0), 0);
  }
  return 0;
}

/**
 * Clusters that every sidecar has, whatever it imports: BlackHoleCluster, PassthroughCluster,
 * InboundPassthroughCluster of istiod, and agent, prometheus_stats, sds-grpc, xds-grpc of the
 * bootstrap.
 */
const fixedClusters = 7;

/** One for each port on which the pods of a workload serve a Service. */
function inboundClusters({ catalog }: State, { pods }: Workload): number {
  const served = pods.flatMap(({ ips }) => ips.flatMap((ip) => catalog.servicesOfEndpoint(ip)));
  const ports = served.flatMap((record) =>
    record.ports.flatMap(({ target, protocol }) => (protocol === 'udp' ? [] : target)),
  );
  return new Set(ports).size;
}

/** One proxy with everything that its namespace sees, and with these entries only; predicted. */
export function predictedSizes(
  mesh: Mesh,
  workload: Workload,
  entries: readonly string[],
): { before: Size; after: Size } {
  const { namespace } = workload;
  const { byHost, clusters } = seenBy(mesh, namespace);
  const imported = entries.flatMap(
    (entry) => byHost.get(entry.slice(entry.indexOf('/') + 1)) ?? [],
  );
  const model = sizeModel(mesh.state);
  const own = fixedClusters + inboundClusters(mesh.state, workload);
  return {
    before: sizeOf(own + clusters, model),
    after: sizeOf(own + clustersOf(mesh, imported, namespace), model),
  };
}

type Seen = { byHost: Map<string, HostRecord>; clusters: number };

/** Workloads of a namespace see the same, and a mesh may have thousands of both. */
const seen = new WeakMap<Mesh, Map<string, Seen>>();

function seenBy(mesh: Mesh, namespace: string): Seen {
  const known = seen.get(mesh) ?? new Map<string, Seen>();
  seen.set(mesh, known);
  const found = known.get(namespace);
  if (found) return found;
  const visible = visibleHosts(mesh.state.catalog, namespace);
  const byHost = new Map(visible.map((record) => [record.host, record]));
  const made = { byHost, clusters: clustersOf(mesh, visible, namespace) };
  known.set(namespace, made);
  return made;
}

/** By what workloads of the mesh measured, else by the benchmark. */
export function sizeModel({ scopes, namespaces }: State): SizeModel {
  const measured = [...namespaces.keys()].flatMap((name) =>
    [...scopes.in(name)].map(({ status }) => {
      const { before: more = 0, after: fewer = 0 } = status?.clusters ?? {};
      const { beforeBytes = 0, afterBytes = 0 } = status?.memory ?? {};
      return {
        clusters: { before: more, after: fewer },
        memoryBytes: { before: beforeBytes, after: afterBytes },
      };
    }),
  );
  return modelOf(measured, (count, kind) => `${counted(count, `${kind} workload`)} of this mesh`);
}
