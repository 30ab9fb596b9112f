import { type Arrivals, createArrivals } from '../../core/first-call/arrivals.ts';
import { type Catalog, createCatalog } from '../../core/mesh/catalog.ts';
import type { NodeLabels } from '../../core/mesh/node-features.ts';
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
  /** What the companion of each connected node found. */
  nodeLabels: Map<string, NodeLabels>;
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
  workload(namespace: string, name: string): Workload | undefined;
  workloadOf(pod: PodRecord): Workload | undefined;
  /** Must be called whenever a pod of the namespace changed. */
  podsChanged(namespace: string): void;
};

type StateOptions = {
  clusterDomain: string;
  namespace: string;
  revisions?: readonly string[];
  served?: readonly string[];
  /** The record of a scope is about to take the place of an earlier one, if there is one. */
  onScope?(before: ScopeRecord | undefined, after: ScopeRecord): void;
};

export function createState({
  clusterDomain,
  namespace,
  revisions = [],
  served = [],
  onScope,
}: StateOptions): State {
  const known: Discovery = { namespaces: new Map(), discovery: new Map() };
  const nodeStreams = createNodeStreams();
  const catalog = createCatalog({
    clusterDomain,
    looksAt: (...where) => looksAt(known, ...where),
    labelsOf: (name) => known.namespaces.get(name)?.labels ?? {},
  });
  // A namespace that is not known here has no label either.
  const sourceIn = (name: string) => {
    const namespace = known.namespaces.get(name);
    return namespace ? namespace.source : 'wasm';
  };
  const grouped = new Map<string, Groups & { isOld: boolean }>();

  function groups(namespace: string): Groups {
    const known = grouped.get(namespace);
    if (known && !known.isOld) return known;
    const workloads = groupWorkloads(catalog.podsIn(namespace)).map((workload) => {
      // The same object as before, so that others see at once that nothing changed.
      const before = known?.byName.get(workload.name);
      return before && isSame(before, workload) ? before : workload;
    });
    const byName = new Map(workloads.map((workload) => [workload.name, workload] as const));
    const byPod = new Map(
      workloads.flatMap((workload) => workload.pods.map((pod) => [pod.name, workload] as const)),
    );
    const fresh = { workloads, byName, byPod, isOld: false };
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
    nodeLabels: new Map(),
    proxies: createProxyTable(nodeStreams),
    scopes: createNamespacedTable(onScope),
    sidecars: createNamespacedTable(),
    imports: createImports(),
    missingRoutes: createMissingRoutes(),
    installedFilter: createInstalledFilter(sourceIn),
    served,
    serviceModes: createServiceModes(),
    revisions: [...new Set([defaultRevision, ...revisions])],
    workloads: (namespace) => groups(namespace).workloads,
    workload: (namespace, name) => groups(namespace).byName.get(name),
    workloadOf: (pod) => groups(pod.namespace).byPod.get(pod.name),
    podsChanged(namespace) {
      const known = grouped.get(namespace);
      if (known) known.isOld = true;
      if (catalog.podsIn(namespace).length === 0) grouped.delete(namespace);
    },
  };
}

type Groups = {
  workloads: Workload[];
  byName: ReadonlyMap<string, Workload>;
  byPod: ReadonlyMap<string, Workload>;
};

function isSame(before: Workload, after: Workload): boolean {
  const { pods, ...rest } = after;
  const { pods: known, ...others } = before;
  return (
    pods.length === known.length &&
    pods.every((pod, i) => pod === known[i]) &&
    JSON.stringify(rest) === JSON.stringify(others)
  );
}
