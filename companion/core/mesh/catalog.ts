import type { KubeObject } from '../../kube/object.ts';
import { readFarHost } from './far-host.ts';
import type { HostIndex } from './host-pattern.ts';
import { createHostTable } from './host-table.ts';
import { bothWays, type Kind } from './indexed-kind.ts';
import { selects } from './label-selector.ts';
import { type MeshConfig, readMeshConfig } from './mesh-config.ts';
import { createMultimap } from './multimap.ts';
import type { PodRecord } from './pod-record.ts';
import {
  type HostRecord,
  readService,
  readServiceEntry,
  readSlice,
  type SliceRecord,
} from './records.ts';
import { revisionOfConfigMap } from './revision.ts';
import { createRuleTable, type RuleTable } from './rule-table.ts';
import { type PeerAuthenticationRecord, readPeerAuthentication } from './rules.ts';
import { createServiceChanges, type ServiceChanges } from './service-changes.ts';
import { createServiceImports, type ServiceImportRecord } from './service-import.ts';
import { type ReferenceRecord, readReferences, referringKinds } from './service-reference.ts';
import { createVisibility, type LabelsOf, type LooksAt, type Visibility } from './visibility.ts';
import type { WorkloadRecord } from './workload-entry.ts';
import { createWorkloadTable, type WorkloadTable } from './workload-table.ts';

/**
 * The state of the mesh: updated object by object, and every query is a look-up. Removing an object
 * leaves nothing behind.
 */
export type Catalog = Omit<Visibility, 'configs' | 'podsChanged'> &
  Omit<RuleTable, 'kinds' | 'sizes' | 'targetChanged'> &
  Omit<WorkloadTable, 'kinds' | 'sizes' | 'captured'> & {
    readonly hosts: HostIndex<HostRecord>;
    /** What changed of Services. */
    readonly serviceChanges: Pick<ServiceChanges, 'version' | 'noteAny' | 'mayConcern'>;
    /** Services of type ExternalName that stand for the host, directly or through another one. */
    aliasesOf(host: string): HostRecord[];
    /** Every host of a ServiceEntry, in no order. */
    entries(): Iterable<HostRecord>;
    /** Hosts that istiod has and this cluster does not, in no order. */
    farHosts(): Iterable<HostRecord>;
    /** Services of several clusters that have a host of the ClusterSet here, in no order. */
    serviceImports(): Iterable<ServiceImportRecord>;
    /** Services that declare the port as TCP, in no order. */
    tcpServicesOn(port: number): readonly HostRecord[];
    /** Accepted records that name the address, or the narrowest range that contains it. */
    hostsAt(ip: string, accept?: (record: HostRecord) => boolean): readonly HostRecord[];
    /** Services that have the address among their endpoints. */
    servicesOfEndpoint(ip: string): HostRecord[];
    /** Services with an endpoint that is reached by HBONE alone. */
    capturedServices(): Iterable<HostRecord>;
    /** Ports that the endpoints of a Service listen on, and the endpoints. */
    slicesOf(record: HostRecord): Iterable<SliceRecord>;
    /** Whether the Service `namespace/name` is known and has a ready endpoint. */
    isReachable(service: string): boolean;
    peerAuthenticationsIn(namespace: string): Iterable<PeerAuthenticationRecord>;
    /** Objects of a namespace that name services for its sidecars to call. */
    referencesIn(namespace: string): readonly ReferenceRecord[];
    /** Adds or replaces an object of a kind in `catalogKinds`. */
    upsert(object: KubeObject): void;
    remove(object: KubeObject): void;
    /** Entries in each index, for metrics. */
    sizes(): Record<string, number>;
  };

type CatalogOptions = { clusterDomain: string; looksAt?: LooksAt; labelsOf?: LabelsOf };

export function createCatalog({
  clusterDomain,
  looksAt = () => true,
  labelsOf = () => ({}),
}: CatalogOptions): Catalog {
  const hosts = createHostTable();
  const { services } = hosts;
  const slices = createMultimap<SliceRecord>();
  const slicesByEndpoint = createMultimap<SliceRecord>();
  const peerAuthentications = createMultimap<PeerAuthenticationRecord>();
  const references = createMultimap<ReferenceRecord>();
  const { imports, kind: importKind } = createServiceImports(clusterDomain);
  const workloads = createWorkloadTable((namespace) => podsChanged(namespace));
  const { configs, podsChanged, ...visibility } = createVisibility(
    workloads.podsIn,
    looksAt,
    labelsOf,
  );

  const referring = bothWays(
    (object) => readReferences(object) ?? [],
    (verb, record: ReferenceRecord) => references[verb](record.namespace, record),
  );

  const { isVisible } = visibility;
  const rules = createRuleTable({ clusterDomain, hostsOf: hosts.named, isVisible });
  const touchHost = (verb: 'add' | 'remove', record: HostRecord) => {
    hosts[verb](record);
    rules.targetChanged(record);
  };

  const kinds: Record<string, Kind> = {
    FarHost: { ...hosts, read: (object) => [readFarHost(object, clusterDomain)] },
    Service: bothWays((object) => readService(object, clusterDomain), touchHost),
    ServiceEntry: bothWays(readServiceEntry, touchHost),
    ...rules.kinds,
    EndpointSlice: bothWays(
      (object) => [readSlice(object)],
      (verb, slice: SliceRecord) => {
        slices[verb](slice.service, slice);
        for (const ip of new Set(slice.endpoints.map(({ ip }) => ip)))
          slicesByEndpoint[verb](ip, slice);
      },
    ),
    ...workloads.kinds,
    PeerAuthentication: bothWays(
      (object) => [readPeerAuthentication(object)],
      (verb, record: PeerAuthenticationRecord) =>
        peerAuthentications[verb](record.namespace, record),
    ),
    ...Object.fromEntries(referringKinds.map((name) => [name, referring])),
    ServiceImport: importKind,
    ConfigMap: {
      read: (object) => [[revisionOfConfigMap(object.metadata.name), readMeshConfig(object)]],
      add([revision, config]: [string, MeshConfig]) {
        configs.set(revision, config);
      },
      remove([revision]: [string, MeshConfig]) {
        configs.delete(revision);
      },
    },
  };

  const serviceChanges = createServiceChanges({
    isRuled: (host) =>
      rules.destinationRules.all(host).length + rules.virtualServices.all(host).length > 0,
    isImported: (name) => imports.has(name),
    isTcp: (port) => hosts.byTcpPort.get(String(port)).length > 0,
    serviceOf: (name) => services.get(name),
    namespaceAt: (ip) => workloads.podAt(ip)?.namespace,
  });

  const known = new Map<string, unknown[]>();
  /** Rebuilt on demand after a change; most meshes have no such endpoint. */
  let captured: Set<HostRecord> | undefined;
  let capturedNames = '';
  const servicesOfEndpoint = (ip: string) => [
    ...new Set(slicesByEndpoint.get(ip).flatMap((slice) => services.get(slice.service) ?? [])),
  ];

  function servicesOf(server: PodRecord | WorkloadRecord): HostRecord[] {
    if ('ips' in server) return server.ips.flatMap(servicesOfEndpoint);
    const { namespace, labels } = server;
    return [...services.values()].filter(
      ({ selector, ...each }) =>
        each.namespace === namespace && selector && selects(selector, labels),
    );
  }

  function remove(object: KubeObject): void {
    const key = objectKey(object);
    captured = undefined;
    for (const record of known.get(key) ?? []) kinds[object.kind]?.remove(record);
    known.delete(key);
  }

  function add(object: KubeObject, kind: Kind): void {
    const records = kind.read(object);
    if (records.length === 0) return;
    // Registered before it is added, so that removing the object also removes the remains of an
    // add that threw.
    known.set(objectKey(object), records);
    for (const record of records) kind.add(record);
  }

  return {
    hosts: hosts.byName,
    serviceChanges,
    virtualServices: rules.virtualServices,
    virtualServicesTo: rules.virtualServicesTo,
    connectionRules: rules.connectionRules,
    destinationRules: rules.destinationRules,
    isTarget: rules.isTarget,
    aliasesOf: hosts.aliasesOf,
    entries: () => hosts.entries,
    farHosts: () => hosts.far,
    serviceImports: () => imports.values(),
    tcpServicesOn: (port) => hosts.byTcpPort.get(String(port)),
    hostsAt: hosts.byAddress.get,
    servicesOfEndpoint,
    capturedServices() {
      if (captured) return captured;
      captured = new Set([...workloads.captured()].flatMap(servicesOf));
      const names = [...captured].map(({ namespace, host }) => `${namespace}/${host}`).sort();
      if (names.join() !== capturedNames) serviceChanges.noteAny();
      capturedNames = names.join();
      return captured;
    },
    slicesOf: (record) => (record.kind === 'service' ? slices.get(keyOf(record)) : []),
    isReachable: (service) =>
      services.has(service) &&
      slices.get(service).some(({ endpoints }) => endpoints.some(({ ready }) => ready)),
    podAt: workloads.podAt,
    pod: workloads.pod,
    podsIn: workloads.podsIn,
    workloadEntriesIn: workloads.workloadEntriesIn,
    workloadGroupsIn: workloads.workloadGroupsIn,
    peerAuthenticationsIn: peerAuthentications.get,
    referencesIn: references.get,
    ...visibility,
    upsert(object) {
      const kind = kinds[object.kind];
      if (!kind) throw new Error(`kind ${object.kind}: the catalog does not index it`);
      const before = known.get(objectKey(object)) ?? [];
      remove(object);
      add(object, kind);
      serviceChanges.note(object.kind, before, known.get(objectKey(object)) ?? []);
    },
    remove(object) {
      const before = known.get(objectKey(object)) ?? [];
      remove(object);
      serviceChanges.note(object.kind, before, []);
    },
    sizes: () => ({
      objects: known.size,
      services: services.size,
      farHosts: hosts.far.size,
      addresses: hosts.byAddress.size(),
      tcpPorts: hosts.byTcpPort.size(),
      endpoints: slicesByEndpoint.size(),
      slices: slices.size(),
      ...workloads.sizes(),
      peerAuthentications: peerAuthentications.size(),
      references: references.size(),
      serviceImports: imports.size,
      ...rules.sizes(),
      hosts: [...hosts.byName.patterns()].length,
      aliases: hosts.aliases.size(),
    }),
  };
}

function keyOf({ namespace, name }: { namespace: string; name: string }): string {
  return `${namespace}/${name}`;
}

function objectKey({ kind, metadata: { namespace, name } }: KubeObject): string {
  return `${kind}/${namespace ?? ''}/${name}`;
}
