import type { KubeObject } from '../../kube/object.ts';
import { type Protocol, protocolOf } from './protocol.ts';
import { revisionLabelOf, revisionOfPod } from './revision.ts';

/**
 * What is kept of each watched object: the fields that a decision reads and nothing else, because
 * a mesh of 5,000 services has to fit in a small process.
 */

/** `exportTo` of Istio: namespaces that see an object, `.` its own; empty means all. */
export type ExportTo = readonly string[];

/** `exportTo` is undefined where the object does not say: the mesh's default counts. */
export type Visible = {
  kind: 'service' | 'entry' | 'virtualService' | 'destinationRule';
  namespace: string;
  exportTo: ExportTo | undefined;
  /** Of an object of Istio, its label; a Service is taken in by every revision. */
  revision?: string | undefined;
};

/** One host of the mesh's registry: a Kubernetes Service, or one host of a ServiceEntry. */
export type HostRecord = Visible & {
  kind: 'service' | 'entry';
  name: string;
  host: string;
  ports: readonly { port: number; protocol: Protocol }[];
  /** Of a ServiceEntry also ranges, `240.1.0.0/16`. */
  addresses: readonly string[];
  headless: boolean;
  /** Outside the mesh: MESH_EXTERNAL, or a Service of type ExternalName. */
  external: boolean;
  /** The host that a Service of type ExternalName stands for; empty for all others. */
  aliasOf: string;
  /** Istio sends where the app connected, whatever address that is: resolution NONE. */
  anyAddress: boolean;
};

export type Endpoint = { ip: string; ready: boolean; pod?: string };

export type SliceRecord = {
  /** `namespace/name` of the Service. */
  service: string;
  endpoints: readonly Endpoint[];
  /** Ports that the pods listen on. */
  ports: readonly number[];
};

export type PodRecord = {
  namespace: string;
  name: string;
  uid: string;
  ips: readonly string[];
  labels: Readonly<Record<string, string>>;
  serviceAccount: string;
  /** The sidecar terminates mutual TLS: label `security.istio.io/tlsMode: istio`. */
  acceptsMtls: boolean;
  /** Has a sidecar, and not one that acts as a gateway: `Sidecar` objects do not apply to those. */
  hasSidecar: boolean;
  network: string;
  /** Name of what made it: the Deployment, StatefulSet, DaemonSet or CronJob. */
  owner: string;
  running: boolean;
  /** Its proxy answers the DNS queries of the app (ISTIO_META_DNS_CAPTURE). */
  dnsProxy: boolean;
  /** Its proxy runs, or nobody says that it does not. */
  proxyRunning: boolean;
  node: string;
  /** Of the istiod that injected the proxy, and configures it. */
  revision: string;
};

export function exportToOf(value: string[] | undefined): ExportTo | undefined {
  if (!value || value.length === 0) return undefined;
  return value.includes('*') ? [] : value;
}

export function namespaceOf(object: KubeObject): string {
  return object.metadata.namespace ?? '';
}

/** Istio's ResolveShortnameToFQDN (pilot/pkg/model/config.go): only names without a dot are short. */
export function qualifyHost(host: string, namespace: string, clusterDomain: string): string {
  const name = host.toLowerCase();
  return name.includes('.') || name === '*' || name.includes(':')
    ? name
    : `${name}.${namespace}.svc.${clusterDomain}`;
}

/** Addresses are looked into: what is none must not fail when it is indexed. */
function textsIn(values: unknown[]): string[] {
  return values.filter((value): value is string => typeof value === 'string' && value !== '');
}

type KubePort = { port: number; name?: string; appProtocol?: string; protocol?: string };

export function readService(object: KubeObject, clusterDomain: string): HostRecord {
  const spec = object.spec ?? {};
  const namespace = namespaceOf(object);
  const annotation = object.metadata.annotations?.['networking.istio.io/exportTo'];
  const addresses = textsIn(spec.clusterIPs ?? [spec.clusterIP]).filter((ip) => ip !== 'None');
  const external = spec.type === 'ExternalName';
  return {
    kind: 'service',
    namespace,
    name: object.metadata.name,
    host: `${object.metadata.name}.${namespace}.svc.${clusterDomain}`,
    exportTo: exportToOf(annotation?.split(',').map((to) => to.trim())),
    ports: ((spec.ports ?? []) as KubePort[]).map(({ port, name, appProtocol, protocol }) => ({
      port,
      protocol: protocolOf({ port, name, appProtocol, transport: protocol }),
    })),
    addresses,
    headless: !external && addresses.length === 0,
    external,
    aliasOf: external
      ? String(spec.externalName ?? '')
          .toLowerCase()
          .replace(/\.$/, '')
      : '',
    anyAddress: false,
  };
}

/** A record for each host of the ServiceEntry. */
export function readServiceEntry(object: KubeObject): HostRecord[] {
  const spec = object.spec ?? {};
  const namespace = namespaceOf(object);
  const shared = {
    kind: 'entry' as const,
    namespace,
    name: object.metadata.name,
    exportTo: exportToOf(spec.exportTo),
    revision: revisionLabelOf(object),
    ports: ((spec.ports ?? []) as { number: number; name?: string; protocol?: string }[]).map(
      ({ number: port, name, protocol }) => ({
        port,
        protocol: protocolOf({ port, name, appProtocol: protocol }),
      }),
    ),
    addresses: textsIn(spec.addresses ?? []),
    headless: false,
    external: spec.location !== 'MESH_INTERNAL',
    aliasOf: '',
    anyAddress: (spec.resolution ?? 'NONE') === 'NONE',
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
    endpoints: ((object.endpoints ?? []) as Raw[]).flatMap((raw) =>
      (raw.addresses ?? []).map((ip) => ({
        ip,
        // Absent means unknown, which consumers take for ready (EndpointConditions of Kubernetes).
        ready: raw.conditions?.ready !== false,
        ...(raw.targetRef?.kind === 'Pod' && {
          pod: `${raw.targetRef.namespace ?? namespace}/${raw.targetRef.name}`,
        }),
      })),
    ),
    ports: ((object.ports ?? []) as { port?: number }[]).flatMap(({ port }) => port ?? []),
  };
}

/** The container that Istio injects. */
const proxyName = 'istio-proxy';

export function readPod(object: KubeObject): PodRecord {
  const { spec = {}, status = {} } = object;
  const labels = object.metadata.labels ?? {};
  const annotations = object.metadata.annotations ?? {};
  const acceptsMtls = labels['security.istio.io/tlsMode'] === 'istio';
  const isGateway =
    'gateway.networking.k8s.io/gateway-name' in labels ||
    runsRouter(spec) ||
    (annotations['inject.istio.io/templates'] ?? '').split(',').includes('gateway');
  type Status = { name: string; state?: Record<string, unknown> };
  // A native sidecar is an init container.
  const statuses: Status[] = [
    ...(status.containerStatuses ?? []),
    ...(status.initContainerStatuses ?? []),
  ];
  const proxyStatus = statuses.find(({ name }) => name === proxyName);
  const ips = ((status.podIPs ?? []) as { ip: string }[]).map(({ ip }) => ip);
  return {
    namespace: namespaceOf(object),
    name: object.metadata.name,
    uid: object.metadata.uid ?? '',
    // Pods of the host's network share its address, so that it names no pod.
    ips: spec.hostNetwork ? [] : ips,
    labels,
    serviceAccount: spec.serviceAccountName ?? 'default',
    acceptsMtls,
    // The injector leaves pods of the host's network alone: there is no traffic of theirs to redirect.
    hasSidecar:
      !isGateway && !spec.hostNetwork && (acceptsMtls || 'sidecar.istio.io/status' in annotations),
    dnsProxy: capturesDns(spec),
    network: labels['topology.istio.io/network'] ?? '',
    owner: ownerOf(object),
    node: spec.nodeName ?? '',
    revision: revisionOfPod(object),
    running: !['Succeeded', 'Failed'].includes(status.phase) && !object.metadata.deletionTimestamp,
    proxyRunning: proxyStatus?.state === undefined || proxyStatus.state.running !== undefined,
  };
}

type Container = { name: string; args?: string[]; env?: { name: string; value?: string }[] };

/** The injector writes the mesh's proxyMetadata and the pod's own into the proxy's environment. */
function capturesDns(spec: Record<string, unknown>): boolean {
  const all = [spec.containers ?? [], spec.initContainers ?? []] as Container[][];
  const proxy = all.flat().find(({ name }) => name === proxyName);
  return (proxy?.env ?? []).some(
    ({ name, value }) => name === 'ISTIO_META_DNS_CAPTURE' && value === 'true',
  );
}

/** A gateway that was not injected says by its arguments what it is: `proxy router`. */
function runsRouter(spec: Record<string, unknown>): boolean {
  const containers = (spec.containers ?? []) as Container[];
  return containers.some(({ name, args = [] }) => name === proxyName && args.includes('router'));
}

/** The name of what the user wrote, past the generated ReplicaSet or Job in between. */
function ownerOf({ metadata }: KubeObject): string {
  const labels = metadata.labels ?? {};
  const owner = metadata.ownerReferences?.find(({ controller }) => controller);
  if (!owner) return labels['service.istio.io/canonical-name'] ?? labels.app ?? metadata.name;
  const hash = labels['pod-template-hash'] ?? labels['rollouts-pod-template-hash'];
  if (owner.kind === 'ReplicaSet' && hash && owner.name.endsWith(`-${hash}`)) {
    return owner.name.slice(0, -hash.length - 1);
  }
  // A CronJob names its Jobs by the minute they are due.
  return owner.kind === 'Job' ? owner.name.replace(/-\d{8,}$/, '') : owner.name;
}
