import type { PodRecord } from '../../core/mesh/pod-record.ts';
import { readService } from '../../core/mesh/records.ts';
import { readSidecar } from '../../core/scope/sidecar.ts';
import type { Kube, KubeObject, Watch, WatchHandler } from '../../kube/object.ts';
import { filterResources } from '../state/installed-filter.ts';
import { readNamespace } from '../state/namespaces.ts';
import type { State } from '../state/state.ts';
import { catalogKinds } from './catalog-kinds.ts';
import type { Changed } from './changes.ts';
import { meshHandler, meshResource } from './mesh.ts';
import { isStale, scopeHandler } from './scopes.ts';

const networking = { group: 'networking.istio.io', version: 'v1' };

export type InformerOptions = {
  rootNamespace: string;
  now: () => number;
  leads(): boolean;
  /** Whether objects of the cluster install the filter, and so must exist. */
  filters: boolean;
};

/** Starts every watch; `synced` resolves when the state is complete for the first time. */
export function startInformers(
  kube: Pick<Kube, 'watch'>,
  state: State,
  changed: Changed,
  options: InformerOptions,
): Watch {
  if (options.filters) state.installedFilter.watched();
  const watches = [
    ...(options.filters ? filterResources : []).map((resource) =>
      kube.watch(resource, filterHandler(state, changed, options.rootNamespace)),
    ),
    ...catalogKinds.map((kind) =>
      kube.watch(kind.resource, catalogHandler(state, changed, kind, options.now)),
    ),
    kube.watch({ group: '', version: 'v1', plural: 'pods' }, podHandler(state, changed)),
    kube.watch(
      { group: '', version: 'v1', plural: 'namespaces' },
      namespaceHandler(state, changed),
    ),
    ...state.revisions.map((revision) =>
      kube.watch(meshResource(options.rootNamespace, revision), meshHandler(state, changed)),
    ),
    kube.watch({ ...networking, plural: 'sidecars' }, sidecarHandler(state, changed, options)),
    kube.watch(
      { group: 'lazyscope.io', version: 'v1alpha1', plural: 'workloadscopes' },
      scopeHandler(state, changed, options.leads),
    ),
  ];
  return {
    synced: Promise.all(watches.map(({ synced }) => synced)).then(() => undefined),
    stop: () => {
      for (const watch of watches) watch.stop();
    },
  };
}

/**
 * Kinds that install the filter and may name services for proxies to call, including those of other
 * owners.
 */
function filterHandler(
  { installedFilter, catalog }: State,
  changed: Changed,
  rootNamespace: string,
): WatchHandler {
  function touch({ metadata: { namespace = '' } }: KubeObject): void {
    changed.namespaceNow(namespace);
    if (namespace === rootNamespace) changed.all();
  }
  return {
    upsert(object) {
      installedFilter.upsert(object);
      catalog.upsert(object);
      touch(object);
    },
    remove(object) {
      installedFilter.remove(object);
      catalog.remove(object);
      touch(object);
    },
  };
}

function catalogHandler(
  { catalog, arrivals, serviceModes, installedFilter }: State,
  changed: Changed,
  { resource, touches }: (typeof catalogKinds)[number],
  now: () => number,
): WatchHandler {
  // The objects of the first list may have existed for any time.
  let isListed = false;
  const isTarget = ({ kind, metadata: { namespace = '', name } }: KubeObject) =>
    kind === 'Service' && catalog.isTarget({ kind: 'service', namespace, name });
  const touch = (object: KubeObject) => {
    if (touches.includes('ports')) changed.ports();
    // Machines whose proxies a Sidecar of the namespace may select.
    if (touches === 'namespace') changed.namespace(object.metadata.namespace ?? '');
    // A Service of TCP may be one that scopes have to import at once (core/scope/eager.ts,
    // besideHttp); one that a route is for makes the route a rule (core/mesh/gateway-route.ts).
    if (touches.includes('scopes') || declaresTcp(object) || isTarget(object)) changed.all();
  };
  return {
    upsert(object) {
      const service = serviceOf(object);
      const wasReachable = service !== undefined && catalog.isReachable(service);
      catalog.upsert(object);
      if (isListed && service && !wasReachable && catalog.isReachable(service)) {
        arrivals.note(service, now());
      }
      if (object.kind === 'Service' && serviceModes.upsert(object)) {
        changed.namespaceNow(object.metadata.namespace ?? '');
      }
      touch(object);
    },
    remove(object) {
      catalog.remove(object);
      if (object.kind === 'Service' && serviceModes.remove(object)) {
        changed.namespaceNow(object.metadata.namespace ?? '');
      }
      touch(object);
    },
    synced(isAbsent) {
      isListed = true;
      if (resource.plural !== 'trafficextensions') return;
      if (installedFilter.setIstioTooOld(isAbsent)) changed.all();
    },
  };
}

function declaresTcp(object: KubeObject): boolean {
  if (object.kind !== 'Service' || !object.spec) return false;
  return readService(object, '').ports.some(({ protocol }) => protocol === 'tcp');
}

/** The Service that an object is, or holds endpoints of. */
function serviceOf({ kind, metadata }: KubeObject): string | undefined {
  if (kind === 'Service') return `${metadata.namespace}/${metadata.name}`;
  const service = metadata.labels?.['kubernetes.io/service-name'];
  return kind === 'EndpointSlice' && service ? `${metadata.namespace}/${service}` : undefined;
}

function podHandler(state: State, changed: Changed): WatchHandler {
  const { catalog } = state;
  function regroup(namespace: string): void {
    state.podsChanged(namespace);
    changed.pods(namespace);
  }
  return {
    upsert(object) {
      const { namespace = '', name } = object.metadata;
      const before = catalog.pod(namespace, name);
      catalog.upsert(object);
      const after = catalog.pod(namespace, name);
      // Most changes of a pod concern its containers and change no group.
      if (groupKey(before) !== groupKey(after)) regroup(namespace);
    },
    remove(object) {
      catalog.remove(object);
      regroup(object.metadata.namespace ?? '');
    },
  };
}

/**
 * The fields of a pod that define its workload, and those that are counted: whether its proxy runs.
 */
function groupKey(pod: PodRecord | undefined): string {
  if (!pod) return '';
  const { uid, owner, running, hasSidecar, ips, proxyRunning, nodeLost, labels } = pod;
  const counted = [running, hasSidecar, ips, proxyRunning, nodeLost];
  return JSON.stringify([uid, owner, counted, Object.entries(labels)]);
}

function namespaceHandler(
  { namespaces, edges, discovery, catalog }: State,
  changed: Changed,
): WatchHandler {
  return {
    upsert(object) {
      const { name } = object.metadata;
      const before = namespaces.get(name);
      const after = readNamespace(object, before);
      namespaces.set(name, after);
      if (JSON.stringify(before) === JSON.stringify(after)) return;
      changed.namespaceNow(name);
      changed.ports();
      // Its labels may decide who sees its objects.
      const areRead = catalog.readsLabels();
      if (areRead || [...discovery.values()].some(({ length }) => length > 0)) changed.all();
    },
    remove({ metadata: { name } }) {
      namespaces.delete(name);
      changed.ports();
      // A later object of the same name is another object.
      edges.forgetNamespace(name);
    },
  };
}

function sidecarHandler(
  { sidecars, imports }: State,
  changed: Changed,
  { rootNamespace, now }: { rootNamespace: string; now: () => number },
): WatchHandler {
  function touch(namespace: string): void {
    if (namespace === rootNamespace) changed.all();
    else changed.namespace(namespace);
  }
  return {
    upsert(object) {
      const record = readSidecar(object);
      if (isStale(sidecars.get(record.namespace, record.name), record)) return;
      sidecars.set(record);
      if (record.ours) imports.note(record, now());
      touch(record.namespace);
    },
    remove({ metadata: { namespace = '', name, uid } }: KubeObject) {
      if (sidecars.get(namespace, name)?.uid !== uid) return;
      sidecars.delete(namespace, name);
      imports.forget(namespace, name, now());
      touch(namespace);
    },
  };
}
