import { type Arrivals, createArrivals } from '../../core/first-call/arrivals.ts';
import type { FirstCall } from '../../core/first-call/strategy.ts';
import { type Catalog, createCatalog } from '../../core/mesh/catalog.ts';
import { type DiscoverySelectors, isDiscovered } from '../../core/mesh/discovery.ts';
import type { PodRecord } from '../../core/mesh/pod-record.ts';
import { defaultRevision, forRevision } from '../../core/mesh/revision.ts';
import type { Mode } from '../../core/scope/condition.ts';
import { modeLabel, parseMode } from '../../core/scope/condition.ts';
import { createEdgeStore, type EdgeStore } from '../../core/scope/edges.ts';
import { createProxyTable, type ProxyTable } from '../../core/scope/proxies.ts';
import { importedHosts, type SidecarRecord } from '../../core/scope/sidecar.ts';
import { groupWorkloads, type Workload } from '../../core/scope/workload.ts';
import { parseFirstCall, type ScopeRecord } from '../../core/scope/workload-scope.ts';
import type { KubeObject } from '../../kube/object.ts';
import { createInstalledFilter, type InstalledFilter } from './installed-filter.ts';
import { createServiceModes, type ServiceModes } from './service-modes.ts';

/** All that a replica knows; leader or not, every replica keeps it up to date. */
export type State = {
  /** The one that Lazyscope itself is in. */
  systemNamespace: string;
  catalog: Catalog;
  arrivals: Arrivals;
  edges: EdgeStore;
  proxies: ProxyTable;
  namespaces: Map<string, NamespaceRecord>;
  scopes: NamespacedTable<ScopeRecord>;
  sidecars: NamespacedTable<SidecarRecord>;
  imports: Imports;
  installedFilter: InstalledFilter;
  /** Digests of the filters that this replica serves, that of its own release first; none outside of a cluster. */
  served: readonly string[];
  serviceModes: ServiceModes;
  /** Revisions of istiod whose configuration of the mesh is read, the default one among them. */
  revisions: readonly string[];
  /** Which namespaces istiod looks at, by its revision. */
  discovery: Map<string, DiscoverySelectors>;
  /** Pods of a namespace by the scope that they share. */
  workloads(namespace: string): readonly Workload[];
  workloadOf(pod: PodRecord): Workload | undefined;
  /** Must be called whenever a pod of the namespace changed. */
  podsChanged(namespace: string): void;
};

export type NamespaceRecord = {
  labels: Readonly<Record<string, string>>;
  /** The label as it is written; undefined where there is none: not enabled. */
  label: string | undefined;
  mode: Mode | undefined;
  firstCall: FirstCall | undefined;
  /** Its pods are in the ambient mesh, where sidecars have no say. */
  ambient: boolean;
  /** Being deleted: nothing can be made in it any more. */
  terminating: boolean;
};

export const firstCallAnnotation = 'lazyscope.io/first-call';

export function readNamespace({ metadata }: KubeObject): NamespaceRecord {
  const label = metadata.labels?.[modeLabel];
  return {
    labels: metadata.labels ?? {},
    label,
    mode: parseMode(label),
    ambient: metadata.labels?.['istio.io/dataplane-mode'] === 'ambient',
    terminating: metadata.deletionTimestamp !== undefined,
    firstCall: parseFirstCall(metadata.annotations?.[firstCallAnnotation]),
  };
}

type Discovery = Pick<State, 'namespaces' | 'discovery'>;

export function looksAt(
  { namespaces, discovery }: Discovery,
  revision: string,
  name: string,
): boolean {
  return isDiscovered(forRevision(discovery, revision) ?? [], namespaces.get(name)?.labels ?? {});
}

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
  const catalog = createCatalog({ clusterDomain, looksAt: (...where) => looksAt(known, ...where) });
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
    edges: createEdgeStore(),
    proxies: createProxyTable(),
    scopes: createNamespacedTable(),
    sidecars: createNamespacedTable(),
    imports: createImports(),
    installedFilter: createInstalledFilter(),
    served,
    serviceModes: createServiceModes(),
    revisions: [...new Set([defaultRevision, ...revisions])],
    workloads: (namespace) => groups(namespace).workloads,
    workloadOf: (pod) => groups(pod.namespace).byPod.get(pod.name),
    podsChanged: (namespace) => grouped.delete(namespace),
  };
}

/** Objects by namespace and name. */
export type NamespacedTable<Value> = {
  set(value: Value): void;
  get(namespace: string, name: string): Value | undefined;
  delete(namespace: string, name: string): void;
  in(namespace: string): Iterable<Value>;
  values(): Iterable<Value>;
};

function createNamespacedTable<
  Value extends { namespace: string; name: string },
>(): NamespacedTable<Value> {
  const table = new Map<string, Map<string, Value>>();
  return {
    set(value) {
      const names = table.get(value.namespace) ?? new Map<string, Value>();
      table.set(value.namespace, names.set(value.name, value));
    },
    get: (namespace, name) => table.get(namespace)?.get(name),
    delete(namespace, name) {
      const names = table.get(namespace);
      names?.delete(name);
      if (names?.size === 0) table.delete(namespace);
    },
    in: (namespace) => table.get(namespace)?.values() ?? [],
    *values() {
      for (const names of table.values()) yield* names.values();
    },
  };
}

/** Since when each of our Sidecars imports each of its hosts; what the hold path waits for. */
export type Imports = {
  note(sidecar: SidecarRecord, now: number): void;
  /** The Sidecar is gone. */
  forget(namespace: string, name: string, now: number): void;
  /** Whether proxies may still have, or have just lost, what it imports. */
  wasInForce(namespace: string, sidecar: string, now: number): boolean;
  /** Milliseconds since the epoch; undefined while the entry is not imported. */
  since(namespace: string, sidecar: string, entry: string): number | undefined;
};

/** istiod gathers changes for up to 10 s (PILOT_DEBOUNCE_MAX); the push itself takes a moment. */
const pushedMs = 15_000;

function createImports(): Imports {
  const bySidecar = new Map<string, Map<string, number>>();
  // In the order of removal; nothing older than a push stays past the next removal.
  const removedAt = new Map<string, number>();
  return {
    note(sidecar, now) {
      const key = `${sidecar.namespace}/${sidecar.name}`;
      const before = bySidecar.get(key);
      removedAt.delete(key);
      bySidecar.set(
        key,
        new Map(importedHosts(sidecar).map((entry) => [entry, before?.get(entry) ?? now])),
      );
    },
    forget(namespace, name, now) {
      const key = `${namespace}/${name}`;
      for (const [known, at] of removedAt) {
        if (now - at < pushedMs) break;
        removedAt.delete(known);
      }
      if (bySidecar.delete(key)) removedAt.set(key, now);
    },
    wasInForce(namespace, sidecar, now) {
      const key = `${namespace}/${sidecar}`;
      const removed = removedAt.get(key) ?? Number.NEGATIVE_INFINITY;
      return bySidecar.has(key) || now - removed < pushedMs;
    },
    since: (namespace, sidecar, entry) => bySidecar.get(`${namespace}/${sidecar}`)?.get(entry),
  };
}
