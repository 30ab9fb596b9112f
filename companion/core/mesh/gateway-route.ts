import type { KubeObject } from '../../kube/object.ts';
import { type HostRecord, namespaceOf } from './records.ts';
import type { DestinationRuleRecord, VirtualServiceRecord } from './rules.ts';
import { clusterSetDomain } from './service-import.ts';

/**
 * Routes and policies of the Gateway API that are for the mesh. istiod makes VirtualServices and
 * DestinationRules of them, which it keeps to itself (pilot/pkg/config/kube/gateway,
 * route_collections.go and backend_policies.go); what is read here is what those say. What hangs on
 * a gateway is for gateways only.
 */

/** A Service or ServiceEntry, which says what hosts are meant; known now or later. */
export type Target = { kind: 'service' | 'entry'; namespace: string; name: string };

/** An object that becomes rules for its targets, as soon as these are there. */
export type Derivation = {
  targets: readonly Target[];
  derive(hostsOf: (target: Target) => readonly HostRecord[]): Derived[];
};

export type Derived = VirtualServiceRecord | DestinationRuleRecord;

type Reference = { group?: string; kind?: string; namespace?: string; name?: string };

/** A route with another parent than a Gateway; undefined when it has none. */
export function readRoute(object: KubeObject, clusterDomain: string): Derivation | undefined {
  const { kind, metadata, spec = {} } = object;
  const namespace = namespaceOf(object);
  const parents = (spec.parentRefs ?? []) as Reference[];
  const targets = parents.flatMap((parent) => targetOf(parent, namespace) ?? []);
  if (targets.length === 0) return undefined;
  const destinations = [
    ...new Set(backendsOf(spec).flatMap((to) => hostsOfBackend(to, namespace, clusterDomain))),
  ];
  const isHttp = kind === 'HTTPRoute' || kind === 'GRPCRoute';
  const shared = {
    kind: 'virtualService' as const,
    namespace,
    name: metadata.name,
    madeFrom: kind,
    destinations,
    delegates: [],
    rulesConnections: !isHttp,
  };
  return {
    targets,
    derive: (hostsOf) =>
      targets.flatMap((target) =>
        hostsOf(target).map(({ host }) => ({
          ...shared,
          // Requests follow only routes of the caller's namespace and of the host's
          // (pilot/pkg/networking/core/route/route.go, buildSidecarVirtualHostsForVirtualService).
          exportTo: isHttp && target.namespace !== namespace ? ['.'] : undefined,
          hosts: [host],
        })),
      ),
  };
}

/** TLS that servers want to be called with; istiod keeps it apart from mutual TLS of the mesh. */
export function readBackendTls(object: KubeObject): Derivation | undefined {
  const { metadata, spec = {} } = object;
  const namespace = namespaceOf(object);
  const references = (spec.targetRefs ?? []) as (Reference & { sectionName?: string })[];
  const aimed = references.flatMap(({ sectionName, namespace: _, ...reference }) => {
    const target = targetOf(reference, namespace);
    return target ? [{ target, sectionName }] : [];
  });
  if (aimed.length === 0) return undefined;
  const derive: Derivation['derive'] = (hostsOf) =>
    aimed.flatMap(({ target, sectionName }) =>
      hostsOf(target).map(({ host, ports }) => ({
        kind: 'destinationRule',
        namespace,
        name: metadata.name,
        exportTo: undefined,
        exportsWritten: '',
        host,
        selector: undefined,
        policy: sectionName
          ? { mode: '', portModes: modesOf(ports, sectionName) }
          : { mode: 'SIMPLE', portModes: {} },
        isDerived: true,
        created: metadata.creationTimestamp ?? '',
      })),
    );
  return { targets: aimed.map(({ target }) => target), derive };
}

function modesOf(ports: HostRecord['ports'], name: string): Record<number, string> {
  return Object.fromEntries(
    ports.filter((each) => each.name === name).map(({ port }) => [port, 'SIMPLE']),
  );
}

/** Undefined for a Gateway, which is meant where no kind is said, and for what is no parent. */
function targetOf(reference: Reference, namespace: string): Target | undefined {
  const { group, kind, name = '' } = reference;
  const owner = reference.namespace ?? namespace;
  if (kind === 'Service' && (group === '' || group === 'core'))
    return { kind: 'service', namespace: owner, name };
  if (kind === 'ServiceEntry' && group === 'networking.istio.io')
    return { kind: 'entry', namespace: owner, name };
  return undefined;
}

type Filter = { requestMirror?: { backendRef?: Reference } };
type Backend = Reference & { filters?: Filter[] };
type Rule = { backendRefs?: Backend[]; filters?: Filter[] };

/** Where requests go, copies among them. */
function backendsOf(spec: { rules?: Rule[] }): Reference[] {
  return (spec.rules ?? []).flatMap(({ backendRefs = [], filters = [] }) => {
    const all = [...filters, ...backendRefs.flatMap((backend) => backend.filters ?? [])];
    return [...backendRefs, ...all.flatMap(({ requestMirror }) => requestMirror?.backendRef ?? [])];
  });
}

/**
 * In the mesh a backend of another namespace needs no ReferenceGrant: callers of buildDestination
 * in conversion.go say so. A ServiceImport has one of two hosts, as istiod is set.
 */
function hostsOfBackend(to: Reference, namespace: string, clusterDomain: string): string[] {
  const { group = '', kind = 'Service', name = '' } = to;
  const path = `${name}.${to.namespace ?? namespace}.svc`.toLowerCase();
  const isOf = (...wanted: string[]) => wanted[0] === kind && wanted.slice(1).includes(group);
  if (isOf('Service', '', 'core')) return [`${path}.${clusterDomain}`];
  if (isOf('Hostname', 'networking.istio.io')) return [name.toLowerCase()];
  if (isOf('ServiceImport', 'multicluster.x-k8s.io'))
    return [`${path}.${clusterSetDomain}`, `${path}.${clusterDomain}`];
  return [];
}
