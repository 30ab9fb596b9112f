import type { KubeObject } from '../../kube/object.ts';
import { exportToOf, namespaceOf, qualifyHost, type Visible } from './records.ts';
import { revisionLabelOf } from './revision.ts';

/** What is kept of Istio's rules on hosts and pods. */

export type VirtualServiceRecord = Visible & {
  kind: 'virtualService';
  name: string;
  /** None: a delegate, whose routes count where another VirtualService says so. */
  hosts: readonly string[];
  destinations: readonly string[];
  /** `namespace/name` of VirtualServices that hold some of its routes. */
  delegates: readonly string[];
};

export type DestinationRuleRecord = Visible & {
  kind: 'destinationRule';
  name: string;
  host: string;
  tlsMode: string;
  portTlsModes: Readonly<Record<number, string>>;
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

/** Undefined when it binds to gateways only. */
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
    namespace,
    name: object.metadata.name,
    exportTo: exportToOf(spec.exportTo),
    revision: revisionLabelOf(object),
    hosts: hosts.map(qualify),
    destinations: [...new Set(destinations.map(qualify))],
    delegates: rules.flatMap(({ delegate }) =>
      delegate ? `${delegate.namespace ?? namespace}/${delegate.name}` : [],
    ),
  };
}

export function readDestinationRule(
  object: KubeObject,
  clusterDomain: string,
): DestinationRuleRecord {
  const { host = '', trafficPolicy = {}, exportTo: exports } = object.spec ?? {};
  const namespace = namespaceOf(object);
  type PortLevel = { port?: { number?: number }; tls?: { mode?: string } };
  return {
    kind: 'destinationRule',
    namespace,
    name: object.metadata.name,
    exportTo: exportToOf(exports),
    revision: revisionLabelOf(object),
    host: qualifyHost(host, namespace, clusterDomain),
    tlsMode: tlsModeOf(trafficPolicy.tls),
    portTlsModes: Object.fromEntries(
      ((trafficPolicy.portLevelSettings ?? []) as PortLevel[])
        // A port without TLS settings of its own does not inherit those of the rule.
        .map(({ port, tls }) => [port?.number ?? 0, tlsModeOf(tls)]),
    ),
  };
}

/** Empty: no TLS settings, so istiod decides. DISABLE is the zero value that JSON leaves out. */
function tlsModeOf(tls: { mode?: string } | undefined): string {
  return tls ? (tls.mode ?? 'DISABLE') : '';
}

export function readPeerAuthentication(object: KubeObject): PeerAuthenticationRecord {
  const { selector, mtls, portLevelMtls = {} } = object.spec ?? {};
  return {
    namespace: namespaceOf(object),
    name: object.metadata.name,
    selector: selector?.matchLabels,
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
