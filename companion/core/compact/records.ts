import type { ClientRule } from '../first-call/destination-rule.ts';
import type { Server } from '../first-call/endpoints.ts';
import type { HostPort } from '../mesh/records.ts';
import type { RetryPolicy } from '../mesh/retry-policy.ts';
import type { CallerFacts } from '../scope/caller.ts';

/**
 * The compact catalog: what a node companion needs to decide about the first calls of its pods, in
 * small records of plain data. A record holds nothing that the proxies of those pods would not get
 * with full configuration, apart from creation times, which order hosts of one name.
 */
export type CompactRecord =
  | { type: 'host'; host: CompactHost }
  | { type: 'rule'; rule: CompactRule }
  | { type: 'namespace'; namespace: CompactNamespace }
  | { type: 'mesh'; mesh: CompactMesh }
  | { type: 'caller'; caller: CompactCaller };

/**
 * The namespaces of the node that see the object: `all` if it is exported to every namespace,
 * `some` if it is exported to a list. Absent: all namespaces see it, and it is exported to all.
 */
export type Seen = Readonly<Record<string, 'all' | 'some'>>;

/** One host of the registry. Absent fields are empty or false. */
export type CompactHost = {
  kind: 'service' | 'entry';
  namespace: string;
  name: string;
  host: string;
  ports: readonly (readonly [HostPort['port'], HostPort['protocol']])[];
  addresses?: readonly string[];
  isFar?: true;
  headless?: true;
  external?: true;
  anyAddress?: true;
  nodeLocal?: true;
  aliasOf?: string;
  identities?: readonly string[];
  /** Equal for entries that istiod merges; a digest, because the key itself names others. */
  mergeKey?: number;
  created?: string;
  seen?: Seen;
  /** DestinationRules by the namespace of the client; `*` for all namespaces. */
  rules?: Readonly<Record<string, readonly ClientRule[]>>;
  /** Ports that the lazy egress gateway has a way to; `true`: all of them. */
  carried?: true | readonly number[];
  /** It became reachable a moment ago. */
  isNew?: true;
  servers?: CompactServers;
  /** Addresses of the endpoints, where they are not those of the servers. */
  endpoints?: readonly string[];
  /** For a headless Service, each pod as a server. */
  pods?: CompactServers;
  /**
   * The record lacks servers and rules, because the host or the catalog is too large: a controller
   * must be asked about calls to the host.
   */
  tooLarge?: true;
};

/** Servers that are equal but for their address. Absent fields are empty. */
export type CompactServers = readonly {
  speech: Server['speech'];
  identity?: string;
  network?: string;
  plainReason?: string;
  /** The ports on which they serve; absent: all ports of the host. */
  ports?: readonly number[];
  at: readonly string[];
}[];

/** A VirtualService for the mesh, or a route of the Gateway API. */
export type CompactRule = {
  namespace: string;
  name: string;
  madeFrom: string;
  hosts: readonly string[];
  seen?: Seen;
};

/** What applies to all callers of a namespace. */
export type CompactNamespace = {
  name: string;
  trustDomainAliases: readonly string[];
  hasOtherClusters: boolean;
  /** Sidecars use mutual TLS only where a DestinationRule says so. */
  noAutoMtls?: true;
  /** Absent: nothing is repeated. */
  retries?: RetryPolicy;
};

export type CompactMesh = {
  clusterDomain: string;
  trustDomain: string;
  gatewayReady: boolean;
};

/** A pod of the node. */
export type CompactCaller = CallerFacts & { pod: string; uid: string };

/**
 * Longest text of a record, in characters: a host with 2,000 servers. Each change of a host sends
 * its record again to every node that sees it.
 */
export const recordLengthMax = 65_536;

export function keyOf(record: CompactRecord): string {
  switch (record.type) {
    case 'host': {
      const { kind, namespace, name, host } = record.host;
      // An entry has several hosts.
      return `host ${kind} ${namespace}/${name}${kind === 'entry' ? ` ${host}` : ''}`;
    }
    case 'rule': {
      const { namespace, name, madeFrom, hosts } = record.rule;
      return `rule ${madeFrom} ${namespace}/${name} ${hosts.join()}`;
    }
    case 'namespace':
      return `namespace ${record.namespace.name}`;
    case 'mesh':
      return 'mesh';
    case 'caller':
      return `caller ${record.caller.namespace}/${record.caller.pod}`;
  }
}
