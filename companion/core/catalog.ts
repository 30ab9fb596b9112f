import type { KubeObject } from '../kube.ts';
import { createHostIndex, type HostIndex } from './host-pattern.ts';
import {
  type Endpoint,
  type HostRecord,
  type PodRecord,
  readPod,
  readService,
  readServiceEntry,
  readSlice,
  type SliceRecord,
  type Visible,
} from './records.ts';
import {
  type DestinationRuleRecord,
  type PeerAuthenticationRecord,
  readDestinationRule,
  readPeerAuthentication,
  readVirtualService,
  type VirtualServiceRecord,
} from './rules.ts';

/**
 * What the mesh is: kept up to date object by object, every question answered by lookup. Removing
 * what was added leaves nothing behind.
 */
export type Catalog = {
  readonly hosts: HostIndex<HostRecord>;
  readonly virtualServices: HostIndex<VirtualServiceRecord>;
  /** Mesh VirtualServices by the host that they route to. */
  readonly virtualServicesTo: HostIndex<VirtualServiceRecord>;
  readonly destinationRules: HostIndex<DestinationRuleRecord>;
  /** Every host of a ServiceEntry, in no order. */
  entries(): Iterable<HostRecord>;
  hostsAt(ip: string): readonly HostRecord[];
  /** Services that have the address among their endpoints. */
  servicesOfEndpoint(ip: string): HostRecord[];
  /** Ports that the endpoints of a Service listen on, and the endpoints. */
  slicesOf(record: HostRecord): Iterable<SliceRecord>;
  /** Whether the Service `namespace/name` is known and has a ready endpoint. */
  isReachable(service: string): boolean;
  podAt(ip: string): PodRecord | undefined;
  pod(namespace: string, name: string): PodRecord | undefined;
  podsIn(namespace: string): Iterable<PodRecord>;
  peerAuthenticationsIn(namespace: string): Iterable<PeerAuthenticationRecord>;
  /** Takes in or replaces an object of a kind in `catalogKinds`. */
  upsert(object: KubeObject): void;
  remove(object: KubeObject): void;
  /** Entries in each index, for metrics. */
  sizes(): Record<string, number>;
};

/** Whether an object is seen from a namespace. */
export function isVisible({ exportTo }: Visible, namespace: string): boolean {
  return exportTo.length === 0 || exportTo.includes(namespace);
}

/** What a watched kind adds to the indexes, and how to take it back. */
type Kind = { read(object: KubeObject): unknown[]; add: Touch; remove: Touch };
// biome-ignore lint/suspicious/noExplicitAny: each kind touches records that its own reader made.
type Touch = (record: any) => void;

export function createCatalog({ clusterDomain }: { clusterDomain: string }): Catalog {
  const hosts = createHostIndex<HostRecord>();
  const virtualServices = createHostIndex<VirtualServiceRecord>();
  const virtualServicesTo = createHostIndex<VirtualServiceRecord>();
  const destinationRules = createHostIndex<DestinationRuleRecord>();
  const services = new Map<string, HostRecord>();
  const entries = new Set<HostRecord>();
  const byAddress = createMultimap<HostRecord>();
  const slices = createMultimap<SliceRecord>();
  const slicesByEndpoint = createMultimap<SliceRecord>();
  const podsByIp = createMultimap<PodRecord>();
  const podsByNamespace = createMultimap<PodRecord>();
  const podsByName = new Map<string, PodRecord>();
  const peerAuthentications = createMultimap<PeerAuthenticationRecord>();

  function touchHost(verb: 'add' | 'remove', record: HostRecord): void {
    hosts[verb](record.host, record);
    for (const ip of record.addresses) byAddress[verb](ip, record);
  }

  const kinds: Record<string, Kind> = {
    Service: {
      read: (object) => [readService(object, clusterDomain)],
      add(record: HostRecord) {
        services.set(keyOf(record), record);
        touchHost('add', record);
      },
      remove(record: HostRecord) {
        services.delete(keyOf(record));
        touchHost('remove', record);
      },
    },
    ServiceEntry: {
      read: readServiceEntry,
      add(record: HostRecord) {
        entries.add(record);
        touchHost('add', record);
      },
      remove(record: HostRecord) {
        entries.delete(record);
        touchHost('remove', record);
      },
    },
    EndpointSlice: bothWays(
      (object) => [readSlice(object)],
      (verb, slice: SliceRecord) => {
        slices[verb](slice.service, slice);
        for (const ip of addressesOf(slice.endpoints)) slicesByEndpoint[verb](ip, slice);
      },
    ),
    Pod: {
      read: (object) => [readPod(object)],
      add(pod: PodRecord) {
        podsByName.set(keyOf(pod), pod);
        podsByNamespace.add(pod.namespace, pod);
        for (const ip of pod.ips) podsByIp.add(ip, pod);
      },
      remove(pod: PodRecord) {
        podsByName.delete(keyOf(pod));
        podsByNamespace.remove(pod.namespace, pod);
        for (const ip of pod.ips) podsByIp.remove(ip, pod);
      },
    },
    VirtualService: bothWays(
      (object) => readVirtualService(object, clusterDomain) ?? [],
      (verb, record: VirtualServiceRecord) => {
        for (const host of record.hosts) virtualServices[verb](host, record);
        for (const host of record.destinations) virtualServicesTo[verb](host, record);
      },
    ),
    DestinationRule: bothWays(
      (object) => [readDestinationRule(object, clusterDomain)],
      (verb, record: DestinationRuleRecord) => destinationRules[verb](record.host, record),
    ),
    PeerAuthentication: bothWays(
      (object) => [readPeerAuthentication(object)],
      (verb, record: PeerAuthenticationRecord) =>
        peerAuthentications[verb](record.namespace, record),
    ),
  };

  const known = new Map<string, unknown[]>();

  function remove(object: KubeObject): void {
    const key = objectKey(object);
    for (const record of known.get(key) ?? []) kinds[object.kind]?.remove(record);
    known.delete(key);
  }

  return {
    hosts,
    virtualServices,
    virtualServicesTo,
    destinationRules,
    entries: () => entries,
    hostsAt: byAddress.get,
    servicesOfEndpoint: (ip) => [
      ...new Set(slicesByEndpoint.get(ip).flatMap((slice) => services.get(slice.service) ?? [])),
    ],
    slicesOf: (record) => (record.kind === 'service' ? slices.get(keyOf(record)) : []),
    isReachable: (service) =>
      services.has(service) &&
      slices.get(service).some(({ endpoints }) => endpoints.some(({ ready }) => ready)),
    // A finished pod keeps its address in its status while another may have got it already.
    podAt: (ip) => podsByIp.get(ip).find((pod) => pod.running) ?? podsByIp.get(ip)[0],
    pod: (namespace, name) => podsByName.get(`${namespace}/${name}`),
    podsIn: podsByNamespace.get,
    peerAuthenticationsIn: peerAuthentications.get,
    upsert(object) {
      const kind = kinds[object.kind];
      if (!kind) throw new Error(`kind ${object.kind}: the catalog does not index it`);
      remove(object);
      const records = kind.read(object);
      if (records.length === 0) return;
      for (const record of records) kind.add(record);
      known.set(objectKey(object), records);
    },
    remove,
    sizes: () => ({
      objects: known.size,
      services: services.size,
      addresses: byAddress.size(),
      endpoints: slicesByEndpoint.size(),
      slices: slices.size(),
      pods: podsByName.size,
      podAddresses: podsByIp.size(),
      podNamespaces: podsByNamespace.size(),
      peerAuthentications: peerAuthentications.size(),
      hosts: count(hosts),
      virtualServices: count(virtualServices),
      virtualServicesTo: count(virtualServicesTo),
      destinationRules: count(destinationRules),
    }),
  };
}

function bothWays<Found>(
  read: (object: KubeObject) => Found | Found[],
  touch: (verb: 'add' | 'remove', record: Found) => void,
): Kind {
  return {
    read: (object) => [read(object)].flat(),
    add: (record: Found) => touch('add', record),
    remove: (record: Found) => touch('remove', record),
  };
}

type Multimap<Value> = {
  add(key: string, value: Value): void;
  remove(key: string, value: Value): void;
  get(key: string): readonly Value[];
  size(): number;
};

function createMultimap<Value>(): Multimap<Value> {
  const map = new Map<string, Set<Value>>();
  return {
    add(key, value) {
      const values = map.get(key);
      if (values) values.add(value);
      else map.set(key, new Set([value]));
    },
    remove(key, value) {
      const values = map.get(key);
      values?.delete(value);
      if (values?.size === 0) map.delete(key);
    },
    get: (key) => [...(map.get(key) ?? [])],
    size: () => map.size,
  };
}

function addressesOf(endpoints: readonly Endpoint[]): Set<string> {
  return new Set(endpoints.map(({ ip }) => ip));
}

function keyOf({ namespace, name }: { namespace: string; name: string }): string {
  return `${namespace}/${name}`;
}

function objectKey({ kind, metadata: { namespace, name } }: KubeObject): string {
  return `${kind}/${namespace ?? ''}/${name}`;
}

function count(index: HostIndex<unknown>): number {
  return [...index.patterns()].length;
}
