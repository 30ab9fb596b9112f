import type { KubeObject } from '../../kube/object.ts';
import { exportToOf, namespaceOf, qualifyHost, type Visible } from './records.ts';
import { revisionLabelOf } from './revision.ts';

/** Records of Istio's rules about hosts and pods. */

export type VirtualServiceRecord = Visible & {
  kind: 'virtualService';
  name: string;
  /** The kind of the object that it is: a VirtualService, or a route of the Gateway API. */
  madeFrom: string;
  /** None: a delegate, whose routes apply through another VirtualService. */
  hosts: readonly string[];
  destinations: readonly string[];
  /** `namespace/name` of VirtualServices that hold some of its routes. */
  delegates: readonly string[];
  /** Has rules for connections (`tcp`, `tls`), which Envoy evaluates once per connection. */
  rulesConnections: boolean;
};

export type DestinationRuleRecord = Visible & {
  kind: 'destinationRule';
  name: string;
  host: string;
  /** The clients in its namespace that it applies to; undefined: all. */
  selector: Readonly<Record<string, string>> | undefined;
  /** Its `exportTo` as written: istiod merges only rules of one host with the same `exportTo`. */
  exportsWritten: string;
  policy: TrafficPolicy | undefined;
  /** istiod made it of a policy of the Gateway API; it yields to what users write. */
  isDerived?: true;
  created: string;
};

/** What a first call must know of a traffic policy. */
export type TrafficPolicy = {
  /** TLS mode, '' if it has no TLS settings. */
  mode: string;
  /** TLS modes of the ports with settings of their own, '' if these have no TLS settings. */
  portModes: Readonly<Record<number, string>>;
  /** Ports on which a hash of the request chooses the server (`consistentHash`). */
  hashed?: 'all' | readonly number[];
};

export type PeerAuthenticationRecord = {
  namespace: string;
  name: string;
  selector: Readonly<Record<string, string>> | undefined;
  mode: string;
  portModes: Readonly<Record<string, string>>;
  created: string;
  revision: string | undefined;
};

/** Undefined if it binds to gateways only. */
export function readVirtualService(
  object: KubeObject,
  clusterDomain: string,
): VirtualServiceRecord | undefined {
  const spec = object.spec ?? {};
  const gateways = (spec.gateways ?? ['mesh']) as string[];
  const hosts = (spec.hosts ?? []) as string[];
  if (!gateways.includes('mesh')) return undefined;
  const namespace = namespaceOf(object);
  type Route = { destination?: { host?: string } };
  type Rule = {
    route?: Route[];
    mirror?: { host?: string };
    mirrors?: Route[];
    delegate?: { name?: string; namespace?: string };
  };
  const rules = [spec.http, spec.tcp, spec.tls].flatMap((list) => (list ?? []) as Rule[]);
  const destinations = rules.flatMap(({ route = [], mirror, mirrors = [] }) =>
    [...route.map((to) => to.destination), mirror, ...mirrors.map((to) => to.destination)].flatMap(
      (destination) => destination?.host ?? [],
    ),
  );
  const qualify = (host: string) => qualifyHost(host, namespace, clusterDomain);
  return {
    kind: 'virtualService',
    madeFrom: object.kind,
    namespace,
    name: object.metadata.name,
    exportTo: exportToOf(spec.exportTo),
    revision: revisionLabelOf(object),
    hosts: hosts.map(qualify),
    destinations: [...new Set(destinations.map(qualify))],
    delegates: rules.flatMap(({ delegate }) =>
      delegate ? `${delegate.namespace ?? namespace}/${delegate.name}` : [],
    ),
    rulesConnections: [spec.tcp, spec.tls].some((list) => ((list ?? []) as Rule[]).length > 0),
  };
}

export function readDestinationRule(
  object: KubeObject,
  clusterDomain: string,
): DestinationRuleRecord {
  const { host = '', trafficPolicy, workloadSelector, exportTo: exports } = object.spec ?? {};
  const namespace = namespaceOf(object);
  return {
    kind: 'destinationRule',
    namespace,
    name: object.metadata.name,
    // istiod does not export a rule that applies to some clients of its namespace.
    exportTo: workloadSelector ? ['.'] : exportToOf(exports),
    exportsWritten: workloadSelector ? '.' : [...new Set<string>(exports)].sort().join(),
    revision: revisionLabelOf(object),
    host: qualifyHost(host, namespace, clusterDomain),
    selector: workloadSelector && (workloadSelector.matchLabels ?? {}),
    policy: trafficPolicy && policyOf(trafficPolicy),
    created: object.metadata.creationTimestamp ?? '',
  };
}

type Tls = { mode?: string; sni?: string; subjectAltNames?: string[] };
type Settings = { tls?: Tls; loadBalancer?: { consistentHash?: unknown } };
type WrittenPolicy = Settings & {
  portLevelSettings?: (Settings & { port?: { number?: number } })[];
};

function policyOf({ portLevelSettings = [], ...settings }: WrittenPolicy): TrafficPolicy {
  const ports = portLevelSettings.map((each) => [each.port?.number ?? 0, each] as const);
  const hashedPorts = ports.filter(([, each]) => hashes(each)).map(([port]) => port);
  const hashed = hashes(settings) ? 'all' : hashedPorts;
  return {
    mode: tlsModeOf(settings.tls),
    portModes: Object.fromEntries(ports.map(([port, { tls }]) => [port, tlsModeOf(tls)])),
    ...(hashed.length > 0 && { hashed }),
  };
}

/**
 * By a header, a cookie, the address of the client or a parameter of the query: for each of them
 * istiod gives the route of the host a policy of its own (route.go, hashForService).
 */
function hashes({ loadBalancer }: Settings): boolean {
  return loadBalancer?.consistentHash !== undefined;
}

/**
 * Empty: no TLS settings, so istiod decides. DISABLE is the zero value that JSON leaves out.
 * ISTIO_MUTUAL under a server name or identities of the rule's own is as good as MUTUAL: only its
 * cluster has them.
 */
function tlsModeOf(tls: Tls | undefined): string {
  if (!tls) return '';
  const { mode = 'DISABLE', sni, subjectAltNames = [] } = tls;
  return mode === 'ISTIO_MUTUAL' && (sni || subjectAltNames.length > 0) ? 'MUTUAL' : mode;
}

export function readPeerAuthentication(object: KubeObject): PeerAuthenticationRecord {
  const { selector, mtls, portLevelMtls = {} } = object.spec ?? {};
  return {
    namespace: namespaceOf(object),
    name: object.metadata.name,
    // A rule without labels applies to all clients, like a rule without a selector.
    selector:
      Object.keys(selector?.matchLabels ?? {}).length > 0 ? selector.matchLabels : undefined,
    mode: mtls?.mode ?? 'UNSET',
    portModes: Object.fromEntries(
      Object.entries(portLevelMtls as Record<string, { mode?: string }>).map(([port, { mode }]) => [
        port,
        mode ?? 'UNSET',
      ]),
    ),
    created: object.metadata.creationTimestamp ?? '',
    revision: revisionLabelOf(object),
  };
}
