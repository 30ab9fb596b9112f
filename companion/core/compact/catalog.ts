import { gatewayLagMs } from '../first-call/arrivals.ts';
import type { MeshView } from '../first-call/decide.ts';
import type { Server } from '../first-call/endpoints.ts';
import { createHostIndex } from '../mesh/host-pattern.ts';
import { createHostTable } from '../mesh/host-table.ts';
import { createMultimap } from '../mesh/multimap.ts';
import type { HostRecord, Visible } from '../mesh/records.ts';
import type { VirtualServiceRecord } from '../mesh/rules.ts';
import { addressesOf } from './make.ts';
import type {
  CompactCaller,
  CompactHost,
  CompactMesh,
  CompactNamespace,
  CompactRecord,
  CompactServers,
  Seen,
} from './records.ts';

/** A mesh of compact records; every query is a look-up. A pod is known by its address. */
export type CompactCatalog = {
  /** Adds or replaces the record of a key. */
  set(key: string, record: CompactRecord): void;
  delete(key: string): void;
  /** Undefined while no record describes the mesh. */
  view(): MeshView<string> | undefined;
  /** Undefined while the pod or its namespace is unknown. */
  caller(namespace: string, pod: string): CompactCaller | undefined;
  /** What a controller must be asked about a call to this host; undefined: nothing. */
  lacks(record: HostRecord, ip: string, isTcp: boolean): 'servers' | 'pod' | undefined;
  /** Hosts about which a controller need not be asked. */
  hosts(): number;
};

type Tables = ReturnType<typeof createTables>;

function createTables() {
  return {
    records: new Map<string, { record: CompactRecord; remove(): void }>(),
    hosts: createHostTable(),
    rules: createHostIndex<VirtualServiceRecord>(),
    endpoints: createMultimap<HostRecord>(),
    pods: createMultimap<HostRecord>(),
    facts: new Map<HostRecord, CompactHost>(),
    /** Hosts whose servers are not known, and those of them whose pods have a name. */
    short: { hosts: 0, headless: 0 },
    seen: new Map<Visible, Seen>(),
    namespaces: new Map<string, CompactNamespace>(),
    mesh: undefined as CompactMesh | undefined,
  };
}

export function createCompactCatalog(): CompactCatalog {
  const tables = createTables();
  const { records, facts } = tables;
  const views = {
    of: undefined as CompactMesh | undefined,
    view: undefined as MeshView<string> | undefined,
  };
  return {
    set(key, record) {
      records.get(key)?.remove();
      records.set(key, { record, remove: add(tables, record) });
    },
    delete(key) {
      records.get(key)?.remove();
      records.delete(key);
    },
    view() {
      const { mesh } = tables;
      if (views.of !== mesh) {
        views.of = mesh;
        views.view = mesh && viewOf(tables, mesh);
      }
      return views.view;
    },
    caller(namespace, pod) {
      if (!tables.namespaces.has(namespace)) return undefined;
      const found = records.get(`caller ${namespace}/${pod}`)?.record;
      return found?.type === 'caller' ? found.caller : undefined;
    },
    lacks(record, ip, isTcp) {
      const host = facts.get(record);
      if (!host || host.tooLarge) return 'servers';
      if (!record.headless) return undefined;
      // The address may be that of a pod of a Service that comes first, whose pods are not known.
      if (isTcp && tables.short.headless > 0) return 'pod';
      return addressesOf(host.pods).has(ip) ? undefined : 'pod';
    },
    hosts: () => facts.size - tables.short.hosts,
  };
}

/** Returns what takes the record back. */
function add(tables: Tables, record: CompactRecord): () => void {
  switch (record.type) {
    case 'host':
      return addHost(tables, record.host);
    case 'rule': {
      const { hosts, seen, ...rest } = record.rule;
      const none = {
        exportTo: undefined,
        destinations: [],
        delegates: [],
        rulesConnections: false,
      };
      const rule: VirtualServiceRecord = { kind: 'virtualService', hosts, ...rest, ...none };
      for (const host of hosts) tables.rules.add(host, rule);
      if (seen) tables.seen.set(rule, seen);
      return () => {
        for (const host of hosts) tables.rules.remove(host, rule);
        tables.seen.delete(rule);
      };
    }
    case 'namespace':
      tables.namespaces.set(record.namespace.name, record.namespace);
      return () => void tables.namespaces.delete(record.namespace.name);
    case 'mesh':
      tables.mesh = record.mesh;
      return () => {
        tables.mesh = undefined;
      };
    default:
      return () => undefined;
  }
}

function countShort({ short }: Tables, { tooLarge, headless }: CompactHost, by: 1 | -1): void {
  if (tooLarge) short.hosts += by;
  if (tooLarge && headless) short.headless += by;
}

function addHost(tables: Tables, host: CompactHost): () => void {
  const { hosts, endpoints, pods, facts, seen } = tables;
  const record = recordOf(host);
  const at = new Set(host.endpoints ?? addressesOf(host.servers));
  const podsAt = addressesOf(host.pods);
  hosts.add(record);
  facts.set(record, host);
  if (host.seen) seen.set(record, host.seen);
  if (host.kind === 'service') for (const ip of at) endpoints.add(ip, record);
  for (const ip of podsAt) pods.add(ip, record);
  countShort(tables, host, 1);
  return () => {
    countShort(tables, host, -1);
    hosts.remove(record);
    facts.delete(record);
    seen.delete(record);
    for (const ip of at) endpoints.remove(ip, record);
    for (const ip of podsAt) pods.remove(ip, record);
  };
}

/** Its servers and its rules were worked out by the controller, and are looked up in the facts. */
function recordOf(host: CompactHost): HostRecord {
  return {
    kind: host.kind,
    namespace: host.namespace,
    name: host.name,
    host: host.host,
    exportTo: undefined,
    ...(host.isFar && { isFar: true }),
    ports: host.ports.map(([port, protocol]) => ({ port, protocol, name: '', target: port })),
    addresses: host.addresses ?? [],
    headless: host.headless ?? false,
    external: host.external ?? false,
    aliasOf: host.aliasOf ?? '',
    resolution: '',
    anyAddress: host.anyAddress ?? false,
    selector: undefined,
    servers: [],
    nodeLocal: host.nodeLocal ?? false,
    identities: host.identities ?? [],
    mergeKey: String(host.mergeKey ?? ''),
    created: host.created ?? '',
  };
}

function viewOf(tables: Tables, mesh: CompactMesh): MeshView<string> {
  const { hosts, rules, endpoints, pods, facts, seen, namespaces } = tables;
  const { clusterDomain, trustDomain, gatewayReady } = mesh;
  const exportsOf = (object: Visible, from: string) => {
    const how = seen.get(object);
    if (!how || how[from] === 'all') return [];
    return how[from] === 'some' ? [from] : undefined;
  };
  return {
    registry: {
      hosts: hosts.byName,
      hostsAt: hosts.byAddress.get,
      virtualServices: rules,
      exportsOf,
      isVisible: (object, from) => exportsOf(object, from) !== undefined,
      servicesOfEndpoint: (ip) => [...endpoints.get(ip)],
      podAt: (ip) => (pods.get(ip).length > 0 ? ip : undefined),
    },
    clusterDomain,
    trustDomain,
    isGatewayReady: () => gatewayReady,
    isCarried(record, port) {
      const { carried = [] } = facts.get(record) ?? {};
      return carried === true || carried.includes(port);
    },
    hasOtherClusters: (from) => namespaces.get(from)?.hasOtherClusters ?? false,
    trustDomainAliasesIn: (from) => namespaces.get(from)?.trustDomainAliases ?? [],
    autoMtlsIn: (from) => !namespaces.get(from)?.noAutoMtls,
    retriesIn: (from) => namespaces.get(from)?.retries,
    ageMs: (record) => (facts.get(record)?.isNew ? gatewayLagMs - 1 : Number.POSITIVE_INFINITY),
    clientRules(record, from) {
      const ofHost = facts.get(record)?.rules;
      return ofHost?.[from] ?? ofHost?.['*'] ?? [];
    },
    serversOf: (record, port) => serversIn(facts.get(record)?.servers, port),
    serverOfPod(record, ip, port) {
      const servers = serversIn(facts.get(record)?.pods, port);
      return servers.find(({ address }) => address === ip) ?? unknownPod(ip);
    },
  };
}

function serversIn(servers: CompactServers = [], port: number): Server[] {
  return servers.flatMap(({ speech, identity, network = '', plainReason = '', ports, at }) =>
    ports && !ports.includes(port)
      ? []
      : at.map((address) => ({ address, speech, identity, network, plainReason })),
  );
}

/** `lacks` has the controllers decide about such a call. */
function unknownPod(address: string): Server {
  const plainReason = 'the pod is not one of the Service';
  return { address, speech: 'plain', identity: undefined, network: '', plainReason };
}
