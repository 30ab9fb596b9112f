import type { KubeObject } from '../../kube/object.ts';
import { entryProtocolOf, type Protocol, protocolOf } from './protocol.ts';
import { revisionLabelOf } from './revision.ts';
import { type WorkloadRecord, type WorkloadSpec, workloadOf } from './workload-entry.ts';

/**
 * The records of watched objects contain only the fields that decisions read, because a mesh of
 * 5,000 services must fit in a small process.
 */

/** `exportTo` of Istio: namespaces that see an object, `.` its own; empty means all. */
export type ExportTo = readonly string[];

/** `exportTo` is undefined if the object does not set it: the mesh's default applies. */
export type Visible = {
  kind: 'service' | 'entry' | 'virtualService' | 'destinationRule';
  namespace: string;
  exportTo: ExportTo | undefined;
  /** The revision label of an Istio object; every revision watches Services. */
  revision?: string | undefined;
};

export type HostPort = {
  port: number;
  protocol: Protocol;
  /** The name by which endpoints declare the port on which they serve it. */
  name: string;
  /** The port of endpoints that do not declare one: a number, or a name. */
  target: number | string;
};

/** One host of the mesh's registry: a Kubernetes Service, or one host of a ServiceEntry. */
export type HostRecord = Visible & {
  kind: 'service' | 'entry';
  /** Not an object of this cluster: a proxy reported that istiod has it (far-host.ts). */
  isFar?: true;
  name: string;
  host: string;
  ports: readonly HostPort[];
  /** For a ServiceEntry also ranges, `240.1.0.0/16`. */
  addresses: readonly string[];
  headless: boolean;
  /** Outside the mesh: MESH_EXTERNAL, or a Service of type ExternalName. */
  external: boolean;
  /** The host that a Service of type ExternalName stands for; empty for all others. */
  aliasOf: string;
  /** For a ServiceEntry, how its endpoints are found; empty for a Service. */
  resolution: string;
  /** Istio sends the call to the address that the app connected to: resolution NONE. */
  anyAddress: boolean;
  /** Labels of its servers: pods and WorkloadEntries of its namespace. */
  selector: Readonly<Record<string, string>> | undefined;
  /** Servers that a ServiceEntry lists itself. */
  servers: readonly WorkloadRecord[];
  /** Its endpoints are those on the caller's node: internalTrafficPolicy Local. */
  nodeLocal: boolean;
  /**
   * Identities of its servers beyond those of its endpoints: a URI or DNS name as it is, or
   * `ns/NAMESPACE/sa/NAME` of any trust domain of the mesh.
   */
  identities: readonly string[];
  /**
   * For a ServiceEntry, the fields in which two entries of one host and namespace must agree for
   * istiod to merge them.
   */
  mergeKey: string;
  /** Creation time in the form of Kubernetes; older objects win. */
  created: string;
};

export type Endpoint = { ip: string; ready: boolean; pod?: string };

export type SliceRecord = {
  /** `namespace/name` of the Service. */
  service: string;
  endpoints: readonly Endpoint[];
  /** Ports of the endpoints, by the name of the Service's port; a single port may have no name. */
  ports: readonly { name: string; port: number }[];
};

/** `*` outweighs whatever else is listed, and `~`, nobody, the rest. */
export function exportToOf(value: string[] | undefined): ExportTo | undefined {
  if (!value || value.length === 0) return undefined;
  if (value.includes('*')) return [];
  return value.includes('~') ? ['~'] : value;
}

export function namespaceOf(object: KubeObject): string {
  return object.metadata.namespace ?? '';
}

/**
 * Istio's ResolveShortnameToFQDN (pilot/pkg/model/config.go): only names without a dot are short.
 */
export function qualifyHost(host: string, namespace: string, clusterDomain: string): string {
  const name = host.toLowerCase();
  return name.includes('.') || name === '*' || name.includes(':')
    ? name
    : `${name}.${namespace}.svc.${clusterDomain}`;
}

/** Addresses are parsed, so an invalid one must not fail when it is indexed. */
function textsIn(values: unknown[]): string[] {
  return exact(
    values.filter((value): value is string => typeof value === 'string' && value !== ''),
  );
}

/** A list without the room for 16 more values that filter() and flatMap() leave in it. */
function exact<Value>(list: readonly Value[]): Value[] {
  return list.slice();
}

type KubePort = {
  port: number;
  name?: string;
  appProtocol?: string;
  protocol?: string;
  targetPort?: number | string;
};

export function readService(object: KubeObject, clusterDomain: string): HostRecord {
  const spec = object.spec ?? {};
  const namespace = namespaceOf(object);
  const annotation = object.metadata.annotations?.['networking.istio.io/exportTo'];
  const addresses = exact(
    textsIn(spec.clusterIPs ?? [spec.clusterIP]).filter((ip) => ip !== 'None'),
  );
  const external = spec.type === 'ExternalName';
  const selector = (spec.selector ?? {}) as Record<string, string>;
  return {
    kind: 'service',
    namespace,
    name: object.metadata.name,
    host: `${object.metadata.name}.${namespace}.svc.${clusterDomain}`,
    // An empty annotation says nothing.
    exportTo: exportToOf(annotation ? annotation.split(',').map((to) => to.trim()) : undefined),
    ports: ((spec.ports ?? []) as KubePort[]).map(({ port, name = '', ...more }) => ({
      port,
      name,
      target: more.targetPort ?? port,
      protocol: protocolOf({ port, name, ...more, transport: more.protocol }),
    })),
    addresses,
    headless: !external && addresses.length === 0,
    external,
    aliasOf: external
      ? String(spec.externalName ?? '')
          .toLowerCase()
          .replace(/\.$/, '')
      : '',
    resolution: '',
    anyAddress: false,
    selector: Object.keys(selector).length > 0 ? selector : undefined,
    servers: [],
    nodeLocal: spec.internalTrafficPolicy === 'Local',
    identities: annotatedIdentities(object),
    mergeKey: '',
    created: object.metadata.creationTimestamp ?? '',
  };
}

type EntryPort = { number: number; name?: string; protocol?: string; targetPort?: number };

/** As istiod reads them (pilot/pkg/serviceregistry/kube/conversion.go, ConvertService). */
function annotatedIdentities({ metadata }: KubeObject): string[] {
  const listed = (name: string) =>
    textsIn((metadata.annotations?.[`alpha.istio.io/${name}`] ?? '').split(','));
  const accounts = listed('kubernetes-serviceaccounts');
  return [
    ...listed('canonical-serviceaccounts'),
    ...accounts.map((account) => `ns/${metadata.namespace ?? ''}/sa/${account}`),
  ];
}

/** A record for each host of the ServiceEntry. */
export function readServiceEntry(object: KubeObject): HostRecord[] {
  const spec = object.spec ?? {};
  const namespace = namespaceOf(object);
  const resolution: string = spec.resolution ?? 'NONE';
  const shared = {
    kind: 'entry' as const,
    namespace,
    name: object.metadata.name,
    exportTo: exportToOf(spec.exportTo),
    revision: revisionLabelOf(object),
    ports: ((spec.ports ?? []) as EntryPort[]).map(
      ({ number: port, name = '', protocol, targetPort }) => ({
        port,
        name,
        target: targetPort || port,
        protocol: entryProtocolOf(protocol),
      }),
    ),
    addresses: textsIn(spec.addresses ?? []),
    headless: false,
    external: spec.location !== 'MESH_INTERNAL',
    aliasOf: '',
    resolution,
    anyAddress: resolution === 'NONE',
    selector: spec.workloadSelector && (spec.workloadSelector.labels ?? {}),
    servers: ((spec.endpoints ?? []) as WorkloadSpec[]).map((endpoint) =>
      workloadOf(endpoint, { namespace, labels: endpoint.labels ?? {} }),
    ),
    nodeLocal: false,
    identities: textsIn(spec.subjectAltNames ?? []),
    // pilot/pkg/model/sidecar.go, canMergeServices.
    mergeKey: JSON.stringify([
      resolution,
      [...new Set<string>(spec.exportTo)].sort(),
      ...[object.metadata.labels, spec.workloadSelector?.labels].map((labels) =>
        Object.entries(labels ?? {}).sort(),
      ),
    ]),
    created: object.metadata.creationTimestamp ?? '',
  };
  return ((spec.hosts ?? []) as string[]).map((host) => ({ ...shared, host: host.toLowerCase() }));
}

export function readSlice(object: KubeObject): SliceRecord {
  const namespace = namespaceOf(object);
  type Raw = {
    addresses?: string[];
    conditions?: { ready?: boolean };
    targetRef?: { kind?: string; name?: string; namespace?: string };
  };
  return {
    service: `${namespace}/${object.metadata.labels?.['kubernetes.io/service-name'] ?? ''}`,
    endpoints: exact(
      ((object.endpoints ?? []) as Raw[]).flatMap((raw) =>
        (raw.addresses ?? []).map((ip) => ({
          ip,
          // Absent means unknown, which consumers treat as ready (Kubernetes, EndpointConditions).
          ready: raw.conditions?.ready !== false,
          ...(raw.targetRef?.kind === 'Pod' && {
            pod: `${raw.targetRef.namespace ?? namespace}/${raw.targetRef.name}`,
          }),
        })),
      ),
    ),
    ports: exact(
      ((object.ports ?? []) as { name?: string; port?: number }[]).flatMap(({ name = '', port }) =>
        port === undefined ? [] : { name, port },
      ),
    ),
  };
}
