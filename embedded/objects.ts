import type { KubeObject } from '../companion/kube/object.ts';
import type { Service } from './services.ts';

/**
 * The mesh as objects of an API server, so that the companion reads it unchanged.
 */

export const clusterDomain = 'cluster.local';
export const trustDomain = 'cluster.local';
export const systemNamespace = 'lazyscope-system';
export const gatewayHost = `lazyscope-egress.${systemNamespace}.svc.${clusterDomain}`;
export const gatewayPort = 15443;

/** The namespace of the backend pods, which answer for all services. */
const backendNamespace = 'backends';

/** A service with the addresses that it has in this mesh. */
export type Placed = Service & {
  host: string;
  clusterIp: string;
  /** The backend that answers for the service. */
  backend: number;
};

export function identityOf(namespace: string, serviceAccount: string): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
}

export function backendIdentity(backend: number): string {
  return identityOf(backendNamespace, `backend-${backend}`);
}

export function hostOf({ namespace, name }: { namespace: string; name: string }): string {
  return `${name}.${namespace}.svc.${clusterDomain}`;
}

/** Addresses as Kubernetes gives them: 10.96.0.0/16 for services. Nothing is bound to them. */
export function place(services: readonly Service[], backends: number): Placed[] {
  return services.map((service, index) => ({
    ...service,
    host: hostOf(service),
    clusterIp: `10.96.${(index >> 8) + 1}.${index & 255}`,
    backend: index % backends,
  }));
}

export function namespaceObject(
  name: string,
  labels: Record<string, string> = {},
  annotations: Record<string, string> = {},
): KubeObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels, annotations } };
}

/** A Service with its endpoint. */
export function serviceObjects(service: Placed): KubeObject[] {
  const { namespace, name, clusterIp, backend } = service;
  const endpoint = {
    pod: `backend-${backend}`,
    namespace: backendNamespace,
    ip: backendIp(backend),
  };
  return reachable({ namespace, name, clusterIp, ports: service.ports }, endpoint);
}

type Endpoint = { pod: string; namespace: string; ip: string };

function reachable(
  { namespace, name, clusterIp, ports }: Service & { clusterIp: string },
  { pod, namespace: podNamespace, ip }: Endpoint,
): KubeObject[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace, name },
      spec: {
        clusterIP: clusterIp,
        ports: ports.map((port) => ({ name: `http-${port}`, port, protocol: 'TCP' })),
      },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { namespace, name, labels: { 'kubernetes.io/service-name': name } },
      ports: ports.map((port) => ({ name: `http-${port}`, port })),
      endpoints: [
        {
          addresses: [ip],
          conditions: { ready: true },
          targetRef: { kind: 'Pod', namespace: podNamespace, name: pod },
        },
      ],
    },
  ];
}

function backendIp(backend: number): string {
  return `10.244.1.${backend + 1}`;
}

export function backendPod(backend: number): KubeObject {
  const name = `backend-${backend}`;
  return podObject({ namespace: backendNamespace, name, ip: backendIp(backend) });
}

/** The lazy egress gateway, and the objects that mark it as ready. */
export function gatewayObjects(): KubeObject[] {
  const pod = { namespace: systemNamespace, name: 'lazyscope-egress', ip: '10.244.0.1' };
  return [
    podObject(pod, { 'inject.istio.io/templates': 'gateway' }),
    ...reachable(
      {
        namespace: systemNamespace,
        name: 'lazyscope-egress',
        clusterIp: '10.96.0.1',
        ports: [gatewayPort],
      },
      { ...pod, pod: pod.name },
    ),
  ];
}

/**
 * A pod with a sidecar; every pod is on a node of its own, and its service account has its name.
 */
export function podObject(
  { namespace, name, ip }: { namespace: string; name: string; ip: string },
  annotations: Record<string, string> = {},
): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      namespace,
      name,
      labels: { app: name, 'security.istio.io/tlsMode': 'istio' },
      annotations,
    },
    spec: {
      serviceAccountName: name,
      nodeName: `node-${name}`,
      containers: [{ name: 'app' }, { name: 'istio-proxy' }],
    },
    status: { phase: 'Running', podIPs: [{ ip }] },
  };
}
