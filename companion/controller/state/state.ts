import { type Arrivals, createArrivals } from '../../core/first-call/arrivals.ts';
import { type Catalog, createCatalog } from '../../core/mesh/catalog.ts';
import type { PodRecord } from '../../core/mesh/pod-record.ts';
import { defaultRevision } from '../../core/mesh/revision.ts';
import { createEdgeStore, type EdgeStore } from '../../core/scope/edges.ts';
import { createNodeStreams, type NodeStreams } from '../../core/scope/node-streams.ts';
import { createProxyTable, type ProxyTable } from '../../core/scope/proxies.ts';
import type { SidecarRecord } from '../../core/scope/sidecar.ts';
import { groupWorkloads, type Workload } from '../../core/scope/workload.ts';
import type { ScopeRecord } from '../../core/scope/workload-scope.ts';
import { createFarHosts, type FarHosts } from './far-hosts.ts';
import { createImports, type Imports } from './imports.ts';
import { createInstalledFilter, type InstalledFilter } from './installed-filter.ts';
import { createMissingRoutes, type MissingRoutes } from './missing-routes.ts';
import { createNamespacedTable, type NamespacedTable } from './namespaced-table.ts';
import { type Discovery, looksAt } from './namespaces.ts';
import { createServiceModes, type ServiceModes } from './service-modes.ts';

/** The whole state of a replica; every replica keeps it up to date, leader or not. */
export type State = Discovery & {
  /** The namespace of Lazyscope. */
  systemNamespace: string;
  catalog: Catalog;
  arrivals: Arrivals;
  farHosts: FarHosts;
  edges: EdgeStore;
  nodeStreams: NodeStreams;
  proxies: ProxyTable;
  scopes: NamespacedTable<ScopeRecord>;
  sidecars: NamespacedTable<SidecarRecord>;
  imports: Imports;
  missingRoutes: MissingRoutes;
  installedFilter: InstalledFilter;
  /**
   * Digests of the filters that this replica serves, its own release first; none outside of a
   * cluster.
   */
  served: readonly string[];
  serviceModes: ServiceModes;
  /** Revisions of istiod whose mesh configuration is read, including the default one. */
  revisions: readonly string[];
  /** Pods of a namespace by the scope that they share. */
  workloads(namespace: string): readonly Workload[];
  workloadOf(pod: PodRecord): Workload | undefined;
  /** Must be called whenever a pod of the namespace changed. */
  podsChanged(namespace: string): void;
};

type StateOptions = {
  clusterDomain: string;
  namespace: string;
  revisions?: readonly string[];
  served?: readonly string[];
};

export function createState({
  clusterDomain,
  namespace,
  revisions = [],
  served = [],
}: StateOptions): State {
  const known: Discovery = { namespaces: new Map(), discovery: new Map() };
  const nodeStreams = createNodeStreams();
  const catalog = createCatalog({
    clusterDomain,
    looksAt: (...where) => looksAt(known, ...where),
    labelsOf: (name) => known.namespaces.get(name)?.labels ?? {},
  });
  const grouped = new Map<string, { workloads: Workload[]; byPod: Map<string, Workload> }>();

  function groups(namespace: string) {
    const known = grouped.get(namespace);
    if (known) return known;
    const workloads = groupWorkloads(catalog.podsIn(namespace));
    const byPod = new Map(
      workloads.flatMap((workload) => workload.pods.map((pod) => [pod.name, workload] as const)),
    );
    const fresh = { workloads, byPod };
    grouped.set(namespace, fresh);
    return fresh;
  }

  return {
    ...known,
    systemNamespace: namespace,
    catalog,
    arrivals: createArrivals(),
    farHosts: createFarHosts(catalog),
    edges: createEdgeStore(),
    nodeStreams,
    proxies: createProxyTable(nodeStreams),
    scopes: createNamespacedTable(),
    sidecars: createNamespacedTable(),
    imports: createImports(),
    missingRoutes: createMissingRoutes(),
    installedFilter: createInstalledFilter(),
    served,
    serviceModes: createServiceModes(),
    revisions: [...new Set([defaultRevision, ...revisions])],
    workloads: (namespace) => groups(namespace).workloads,
    workloadOf: (pod) => groups(pod.namespace).byPod.get(pod.name),
    podsChanged: (namespace) => grouped.delete(namespace),
  };
}
