import type { Catalog } from '../mesh/catalog.ts';
import { selects } from '../mesh/label-selector.ts';
import type { HostRecord, PodRecord } from '../mesh/records.ts';
import { isTakenIn } from '../mesh/revision.ts';
import type { PeerAuthenticationRecord } from '../mesh/rules.ts';

/**
 * Whether a destination takes mutual TLS with the workload's own certificate, and as whom it
 * answers.
 */
export type Mtls = {
  capable: boolean;
  /** A DestinationRule asks for TLS of its own kind, which only its real cluster can do. */
  ownTls: boolean;
  /** Why not capable; empty when it is. */
  reason: string;
  /** SPIFFE identities of the endpoints, sorted; empty when unknown or too many to pin. */
  identities: string[];
  /** Networks that the endpoints are on, '' for the default one. */
  networks: Set<string>;
};

export type MeshNames = { trustDomain: string; rootNamespace: string };

/** More would not fit the 2,048 bytes that the filter takes; then the trust domain alone is pinned. */
export const identitiesMax = 16;
const identitiesBytesMax = 2048;

type Destination = { record: HostRecord; port: number; pod?: PodRecord | undefined };

/** Mutual TLS of a host's port, or of one pod of it, as seen from a namespace. */
export function mtlsOf(
  catalog: Catalog,
  { record, port, pod }: Destination,
  namespace: string,
  names: MeshNames,
): Mtls {
  const rule = ruleTlsMode(catalog, record, port, namespace, names.rootNamespace);
  const ownTls = rule === 'SIMPLE' || rule === 'MUTUAL';
  const none = { capable: false, ownTls, identities: [], networks: new Set<string>() };
  if (record.external) return { ...none, reason: 'outside the mesh' };
  if (rule === 'DISABLE' || ownTls) {
    return { ...none, reason: `a DestinationRule sets TLS mode ${rule}` };
  }
  const { pods, unknown } = pod ? { pods: [pod], unknown: 0 } : podsBehind(catalog, record);
  if (unknown > 0) return { ...none, reason: 'an endpoint is not a pod of this mesh' };
  if (pods.length === 0) return { ...none, reason: 'no endpoints' };
  if (!pods.every(({ acceptsMtls }) => acceptsMtls)) {
    return { ...none, reason: 'an endpoint has no sidecar' };
  }
  const ports = [...catalog.slicesOf(record)].flatMap((slice) => slice.ports);
  const targets = ports.length > 0 ? new Set(ports) : new Set([port]);
  const disabled = pods.some((each) =>
    [...targets].some((target) => peerMode(catalog, each, target, names) === 'DISABLE'),
  );
  if (disabled) return { ...none, reason: 'a PeerAuthentication disables mutual TLS' };
  return {
    capable: true,
    ownTls: false,
    reason: '',
    identities: identitiesOf(pods, names.trustDomain),
    networks: new Set(pods.map(({ network }) => network)),
  };
}

function podsBehind(catalog: Catalog, record: HostRecord): { pods: PodRecord[]; unknown: number } {
  const endpoints = [...catalog.slicesOf(record)].flatMap((slice) => slice.endpoints);
  // With none ready, those about to be say what the destination will be.
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  const pods = new Set<PodRecord>();
  let unknown = 0;
  for (const { ip, pod } of ready.length > 0 ? ready : endpoints) {
    const [namespace = '', name = ''] = pod?.split('/') ?? [];
    const found = pod ? catalog.pod(namespace, name) : catalog.podAt(ip);
    if (found) pods.add(found);
    else unknown += 1;
  }
  return { pods: [...pods], unknown };
}

function identitiesOf(pods: PodRecord[], trustDomain: string): string[] {
  const identities = [
    ...new Set(
      pods.map(
        ({ namespace, serviceAccount }) =>
          `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`,
      ),
    ),
  ].sort();
  const fits =
    identities.length <= identitiesMax && identities.join(',').length <= identitiesBytesMax;
  return fits ? identities : [];
}

/**
 * TLS mode of the DestinationRule in force, by the order of istiod (pilot/pkg/model/push_context.go,
 * destinationRule): the caller's namespace, the service's, the root namespace. Empty: none.
 */
function ruleTlsMode(
  catalog: Catalog,
  record: HostRecord,
  port: number,
  namespace: string,
  rootNamespace: string,
): string {
  const places =
    namespace === rootNamespace
      ? [record.namespace, rootNamespace]
      : [namespace, record.namespace, rootNamespace];
  for (const place of places) {
    const rules = catalog.destinationRules.mostSpecific(
      record.host,
      (rule) => rule.namespace === place && catalog.isVisible(rule, namespace),
    );
    if (rules.length === 0) continue;
    const modes = rules.map(({ tlsMode, portTlsModes }) => portTlsModes[port] ?? tlsMode);
    // istiod merges rules of one host; any that takes TLS away from istiod decides for safety.
    return modes.find((mode) => mode !== '' && mode !== 'ISTIO_MUTUAL') ?? modes[0] ?? '';
  }
  return '';
}

/**
 * Mode of the PeerAuthentication in force on a pod's port: the port of the oldest one that selects
 * the pod, then that one as a whole, then the namespace's, then the mesh's
 * (Istio pilot/pkg/security/authn/policy_applier.go, ComposePeerAuthentication).
 */
function peerMode(
  catalog: Catalog,
  pod: PodRecord,
  targetPort: number,
  { rootNamespace }: MeshNames,
): string {
  const takenIn = (namespace: string) =>
    oldestFirst(catalog.peerAuthenticationsIn(namespace)).filter(({ revision }) =>
      isTakenIn(revision, pod.revision),
    );
  const inNamespace = takenIn(pod.namespace);
  const ofPod = inNamespace.find(({ selector }) => selector && selects(selector, pod.labels));
  const ofNamespace = inNamespace.find(({ selector }) => !selector);
  const ofMesh = takenIn(rootNamespace).find(({ selector }) => !selector);
  const modes = [ofPod?.portModes[targetPort], ofPod?.mode, ofNamespace?.mode, ofMesh?.mode];
  return modes.find((mode) => mode !== undefined && mode !== 'UNSET') ?? 'PERMISSIVE';
}

function oldestFirst(records: Iterable<PeerAuthenticationRecord>): PeerAuthenticationRecord[] {
  return [...records].sort((a, b) => compare(a.created, b.created) || compare(a.name, b.name));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
