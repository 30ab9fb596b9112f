import {
  type Kube,
  KubeError,
  type KubeObject,
  type Resource,
  type WatchHandler,
} from '../../../../companion/kube/object.ts';

/**
 * An API server in memory with everything that the controller relies on: watches that see every
 * write, uids, resource versions, conflicts, garbage collection. It does not merge fields, so an
 * object has one field manager only.
 */
export type FakeKube = Kube & {
  put(object: KubeObject): KubeObject;
  all(kind: string): KubeObject[];
  /** Sends an outdated object to the watches, as a slow watch does. */
  tellLate(object: KubeObject): void;
  /** Every write so far, as `verb Kind namespace/name`. */
  writes: string[];
  /** While true, every request fails as if the server were unreachable. */
  failing: boolean;
  /** Plurals of kinds without a definition. */
  lacking: Set<string>;
  /** The definition of a kind comes, or goes with all its objects. */
  define(plural: string, isDefined: boolean): void;
};

const plurals: Record<string, string> = {
  services: 'Service',
  pods: 'Pod',
  namespaces: 'Namespace',
  endpointslices: 'EndpointSlice',
  serviceentries: 'ServiceEntry',
  virtualservices: 'VirtualService',
  destinationrules: 'DestinationRule',
  peerauthentications: 'PeerAuthentication',
  httproutes: 'HTTPRoute',
  grpcroutes: 'GRPCRoute',
  tlsroutes: 'TLSRoute',
  tcproutes: 'TCPRoute',
  backendtlspolicies: 'BackendTLSPolicy',
  serviceimports: 'ServiceImport',
  requestauthentications: 'RequestAuthentication',
  trafficextensions: 'TrafficExtension',
  sidecars: 'Sidecar',
  envoyfilters: 'EnvoyFilter',
  wasmplugins: 'WasmPlugin',
  workloadscopes: 'WorkloadScope',
  leases: 'Lease',
  secrets: 'Secret',
  configmaps: 'ConfigMap',
};

/** Filters by metadata.name, the only field by which the controller selects. */
function ofName(
  { fieldSelector }: Resource,
  { upsert, remove, synced }: WatchHandler,
): WatchHandler {
  const name = fieldSelector?.replace('metadata.name=', '');
  const isNamed = ({ metadata }: KubeObject) => name === undefined || metadata.name === name;
  return {
    upsert: (object) => isNamed(object) && upsert(object),
    remove: (object) => isNamed(object) && remove(object),
    ...(synced && { synced }),
  };
}

export function createFakeKube(): FakeKube {
  const objects = new Map<string, KubeObject>();
  const watches = new Map<string, Set<WatchHandler>>();
  let version = 0;

  function keyOf(kind: string, namespace: string | undefined, name: string): string {
    return `${kind}/${namespace ?? ''}/${name}`;
  }

  function handlersOf(kind: string): Set<WatchHandler> {
    const handlers = watches.get(kind) ?? new Set();
    watches.set(kind, handlers);
    return handlers;
  }

  function put(object: KubeObject): KubeObject {
    version += 1;
    const key = keyOf(object.kind, object.metadata.namespace, object.metadata.name);
    const before = objects.get(key);
    const stored: KubeObject = {
      ...structuredClone(object),
      metadata: {
        uid: `uid-${version}`,
        creationTimestamp: new Date(0).toISOString(),
        ...before?.metadata,
        ...structuredClone(object.metadata),
        resourceVersion: String(version),
      },
    };
    objects.set(key, stored);
    for (const handler of handlersOf(object.kind)) handler.upsert(structuredClone(stored));
    return structuredClone(stored);
  }

  function drop(key: string): void {
    const object = objects.get(key);
    if (!object) return;
    objects.delete(key);
    for (const handler of handlersOf(object.kind)) handler.remove(object);
    for (const [other, { metadata }] of objects) {
      if (metadata.ownerReferences?.some(({ uid }) => uid === object.metadata.uid)) drop(other);
    }
  }

  function answer<Result>(run: () => Result): Promise<Result> {
    if (fake.failing) return Promise.reject(new KubeError(0, 'no answer'));
    return Promise.resolve().then(run);
  }

  function note(verb: string, { kind, metadata }: KubeObject): void {
    fake.writes.push(`${verb} ${kind} ${metadata.namespace ?? ''}/${metadata.name}`);
  }

  function kindOf({ plural }: Resource): string {
    return plurals[plural] ?? plural;
  }

  const fake: FakeKube = {
    writes: [],
    failing: false,
    lacking: new Set(),
    define(plural, isDefined) {
      if (isDefined) fake.lacking.delete(plural);
      else fake.lacking.add(plural);
      for (const handler of handlersOf(plurals[plural] ?? plural)) handler.synced?.(!isDefined);
    },
    put,
    all: (kind) => [...objects.values()].filter((object) => object.kind === kind),
    tellLate(object) {
      for (const handler of handlersOf(object.kind)) handler.upsert(structuredClone(object));
    },
    watch(resource, handler) {
      const kind = kindOf(resource);
      const named = ofName(resource, handler);
      for (const object of fake.all(kind)) named.upsert(structuredClone(object));
      handler.synced?.(fake.lacking.has(resource.plural));
      handlersOf(kind).add(named);
      return {
        synced: Promise.resolve(),
        stop: () => void handlersOf(kind).delete(named),
      };
    },
    apply: (object, { subresource }) =>
      answer(() => {
        const key = keyOf(object.kind, object.metadata.namespace, object.metadata.name);
        const before = objects.get(key);
        note(subresource ? 'status' : 'apply', object);
        const { status, ...rest } = object;
        const merged = subresource
          ? { ...(before ?? object), status }
          : { ...rest, ...(before?.status && { status: before.status }) };
        return put(merged as KubeObject);
      }),
    create: (object) =>
      answer(() => {
        const { kind, metadata } = object;
        if (objects.has(keyOf(kind, metadata.namespace, metadata.name))) {
          throw new KubeError(409, 'exists');
        }
        note('create', object);
        return put(object);
      }),
    replace: (object) =>
      answer(() => {
        const { kind, metadata } = object;
        const before = objects.get(keyOf(kind, metadata.namespace, metadata.name));
        if (!before) throw new KubeError(404, 'not found');
        if (before.metadata.resourceVersion !== metadata.resourceVersion) {
          throw new KubeError(409, 'conflict');
        }
        note('replace', object);
        return put(object);
      }),
    get: (resource, name, namespace) =>
      answer(() => structuredClone(objects.get(keyOf(kindOf(resource), namespace, name)))),
    delete: (resource, name, namespace) =>
      answer(() => {
        const key = keyOf(kindOf(resource), namespace, name);
        fake.writes.push(`delete ${kindOf(resource)} ${namespace ?? ''}/${name}`);
        drop(key);
      }),
    serves: async () => false,
    listMetadata: async () => [],
    tokenReview: async () => ({ authenticated: false }),
    mayList: async () => false,
    close: () => undefined,
  };
  return fake;
}
