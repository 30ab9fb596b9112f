import type { MeshView } from '../first-call/decide.ts';
import type { ClientRule } from '../first-call/destination-rule.ts';
import type { Server } from '../first-call/endpoints.ts';
import type { Catalog } from '../mesh/catalog.ts';
import type { HostRecord, Visible } from '../mesh/records.ts';
import type { VirtualServiceRecord } from '../mesh/rules.ts';
import type {
  CompactHost,
  CompactMesh,
  CompactNamespace,
  CompactRecord,
  CompactRule,
  CompactServers,
  Seen,
} from './records.ts';
import { textDigest } from './text-digest.ts';

/** Makes compact records from a catalog, for callers in the given namespaces. */

export type Source = { catalog: Catalog; view: MeshView; namespaces: readonly string[] };

function compactHost(source: Source, record: HostRecord): CompactHost {
  const { catalog, view } = source;
  const ports = record.ports.map(({ port }) => port);
  const { kind, namespace, name, host, isFar, headless, external, anyAddress } = record;
  const { nodeLocal, aliasOf, addresses, identities, mergeKey, created } = record;
  const servers = external ? undefined : grouped(ports, (port) => view.serversOf(record, port));
  const pods = headless ? podsOf(source, record, ports) : undefined;
  const carried = ports.filter((port) => view.isCarried(record, port));
  const seen = seenFrom(source, record);
  const rules = rulesOf(source, record);
  return {
    ...{ kind, namespace, name, host },
    ports: record.ports.map(({ port, protocol }) => [port, protocol] as const),
    ...(addresses.length > 0 && { addresses }),
    ...(isFar && { isFar }),
    ...(headless && { headless }),
    ...(external && { external }),
    ...(anyAddress && { anyAddress }),
    ...(nodeLocal && { nodeLocal }),
    ...(aliasOf && { aliasOf }),
    ...(identities.length > 0 && { identities }),
    ...(mergeKey && { mergeKey: textDigest(mergeKey) }),
    ...(created && { created }),
    ...(seen && { seen }),
    ...(rules && { rules }),
    ...(carried.length > 0 && { carried: carried.length === ports.length || carried }),
    ...(Number.isFinite(view.ageMs(record)) && { isNew: true as const }),
    ...(servers && { servers }),
    ...endpointsOf(catalog, record, servers),
    ...(pods && { pods }),
  };
}

/** The record of a host that does not fit: enough to know that a call is for it. */
export function withoutServers(host: CompactHost): CompactHost {
  const { kind, namespace, name, ports, addresses, isFar, headless, external } = host;
  const { anyAddress, aliasOf, mergeKey, created, seen } = host;
  return {
    ...{ kind, namespace, name, host: host.host, ports },
    ...(addresses && { addresses }),
    ...(isFar && { isFar }),
    ...(headless && { headless }),
    ...(external && { external }),
    ...(anyAddress && { anyAddress }),
    ...(aliasOf && { aliasOf }),
    ...(mergeKey && { mergeKey }),
    ...(created && { created }),
    ...(seen && { seen }),
    tooLarge: true,
  };
}

function compactRule(source: Source, record: VirtualServiceRecord): CompactRule {
  const { namespace, name, madeFrom, hosts } = record;
  const seen = seenFrom(source, record);
  return { namespace, name, madeFrom, hosts, ...(seen && { seen }) };
}

function compactNamespace({ view }: Source, name: string): CompactNamespace {
  const retries = view.retriesIn(name);
  return {
    name,
    trustDomainAliases: view.trustDomainAliasesIn(name),
    hasOtherClusters: view.hasOtherClusters(name),
    ...(!view.autoMtlsIn(name) && { noAutoMtls: true as const }),
    ...(retries && { retries }),
  };
}

function compactMesh({ view }: Source): CompactMesh {
  const { clusterDomain, trustDomain } = view;
  return { clusterDomain, trustDomain, gatewayReady: view.isGatewayReady() };
}

function seenFrom({ catalog, namespaces }: Source, object: Visible): Seen | undefined {
  // Most objects of most meshes.
  if (catalog.isPublic(object)) return undefined;
  const seen = namespaces.flatMap((from) => {
    if (!catalog.isVisible(object, from)) return [];
    return [[from, catalog.exportsOf(object, from)?.length === 0 ? 'all' : 'some'] as const];
  });
  const isForAll = seen.length === namespaces.length && seen.every(([, how]) => how === 'all');
  return isForAll ? undefined : Object.fromEntries(seen);
}

function rulesOf({ catalog, view, namespaces }: Source, record: HostRecord): CompactHost['rules'] {
  if (catalog.destinationRules.all(record.host).length === 0) return undefined;
  const rules = namespaces.map((from) => [from, view.clientRules(record, from)] as const);
  const [first] = rules;
  if (!first || rules.every(([, each]) => each.length === 0)) return undefined;
  const text = JSON.stringify(first[1]);
  if (rules.every(([, each]) => JSON.stringify(each) === text)) return { '*': first[1] };
  return Object.fromEntries(
    rules.filter(([, each]: readonly [string, readonly ClientRule[]]) => each.length > 0),
  );
}

type Group = { ports: number[]; servers: CompactServers[number] };

/** Sorted, so that two replicas make the same record. */
function grouped(
  ports: readonly number[],
  serversOf: (port: number) => readonly Server[],
): CompactServers | undefined {
  const groups = new Map<string, Group>();
  for (const port of ports) {
    for (const servers of groupsOf(serversOf(port))) {
      const text = JSON.stringify(servers);
      const group = groups.get(text) ?? { ports: [], servers };
      group.ports.push(port);
      groups.set(text, group);
    }
  }
  if (groups.size === 0) return undefined;
  return [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, group]) =>
      group.ports.length === ports.length
        ? group.servers
        : { ...group.servers, ports: group.ports },
    );
}

function groupsOf(servers: readonly Server[]): CompactServers {
  const byKind = new Map<string, string[]>();
  for (const { address, speech, identity, network, plainReason } of servers) {
    const kind = JSON.stringify({
      speech,
      ...(identity && { identity }),
      ...(network && { network }),
      ...(plainReason && { plainReason }),
    });
    byKind.set(kind, [...(byKind.get(kind) ?? []), address]);
  }
  return [...byKind].map(([kind, at]) => ({ ...JSON.parse(kind), at: at.sort() }));
}

function endpointsOf(
  catalog: Catalog,
  record: HostRecord,
  servers: CompactServers | undefined,
): { endpoints?: string[] } {
  const endpoints = [...endpointIps(catalog, record)].sort();
  const isSame = JSON.stringify(endpoints) === JSON.stringify([...addressesOf(servers)].sort());
  return isSame ? {} : { endpoints };
}

function endpointIps(catalog: Catalog, record: HostRecord): Set<string> {
  return new Set(
    [...catalog.slicesOf(record)].flatMap(({ endpoints }) => endpoints.map(({ ip }) => ip)),
  );
}

export function addressesOf(servers: CompactServers = []): Set<string> {
  return new Set(servers.flatMap(({ at }) => at));
}

function podsOf(
  { catalog, view }: Source,
  record: HostRecord,
  ports: readonly number[],
): CompactServers | undefined {
  const ips = endpointIps(catalog, record);
  return grouped(ports, (port) =>
    [...ips].flatMap((ip) => {
      const pod = catalog.podAt(ip);
      return pod ? { ...view.serverOfPod(record, pod, port), address: ip } : [];
    }),
  );
}

/** The records of all hosts of one name. */
export function recordsOfHost(source: Source, host: string): CompactRecord[] {
  return source.catalog.hosts
    .exact(host)
    .map((record) => ({ type: 'host', host: compactHost(source, record) }));
}

/** The records of what is not a host: rules, namespaces, the mesh itself. */
export function recordsBesideHosts(source: Source): CompactRecord[] {
  const { virtualServices } = source.catalog;
  const rules = new Set(
    [...virtualServices.patterns()].flatMap((each) => virtualServices.exact(each)),
  );
  return [
    ...[...rules].map((rule) => ({ type: 'rule' as const, rule: compactRule(source, rule) })),
    ...source.namespaces.map((name) => ({
      type: 'namespace' as const,
      namespace: compactNamespace(source, name),
    })),
    { type: 'mesh', mesh: compactMesh(source) },
  ];
}
