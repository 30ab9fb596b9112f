import type { KubeObject } from '../../../../companion/kube/object.ts';

/** Make the Kubernetes objects of the core's tests, with only the necessary fields. */

type Ports = { name?: string; port: number; appProtocol?: string; protocol?: string }[];

export function service(
  path: string,
  options: { ip?: string; ports?: Ports; exportTo?: string; externalName?: string } = {},
): KubeObject {
  const { ip = 'None', ports = [{ name: 'http', port: 80 }], exportTo, externalName } = options;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      ...nameOf(path),
      ...(exportTo && { annotations: { 'networking.istio.io/exportTo': exportTo } }),
    },
    spec: externalName
      ? { type: 'ExternalName', externalName, ports }
      : { clusterIP: ip, clusterIPs: [ip], ports },
  };
}

/** The Sidecar of a workload's scope, as it is in the cluster. */
export function ourSidecar(path: string, labels: Record<string, string>): KubeObject {
  const { namespace, name } = nameOf(path);
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Sidecar',
    metadata: {
      namespace,
      name: `lazyscope-${name}`,
      labels: { 'app.kubernetes.io/managed-by': 'lazyscope' },
      ownerReferences: [{ apiVersion: 'v1', kind: 'WorkloadScope', name, uid: `scope-${name}` }],
    },
    spec: { workloadSelector: { labels }, egress: [{ hosts: [] }] },
  };
}

export type PodOptions = {
  ip?: string;
  account?: string;
  labels?: Record<string, string>;
  tlsMode?: string;
  network?: string;
  owner?: { kind: string; name: string };
  annotations?: Record<string, string>;
  /** Revision of the istiod that injected the pod. */
  revision?: string;
  phase?: string;
  node?: string;
  conditions?: { type: string; status: string; reason?: string }[];
  /** Interception mode that the injector writes into the proxy's environment. */
  interception?: string;
};

export function pod(path: string, options: PodOptions = {}): KubeObject {
  const { ip, account = 'default', labels = {}, tlsMode = 'istio', network, owner } = options;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...nameOf(path),
      uid: `uid-${path}`,
      labels: {
        ...labels,
        ...(tlsMode && { 'security.istio.io/tlsMode': tlsMode }),
        ...(network && { 'topology.istio.io/network': network }),
      },
      annotations: {
        ...options.annotations,
        ...(options.revision && { 'istio.io/rev': options.revision }),
      },
      ...(owner && {
        ownerReferences: [{ apiVersion: 'v1', uid: owner.name, controller: true, ...owner }],
      }),
    },
    spec: {
      serviceAccountName: account,
      nodeName: options.node ?? 'node-1',
      ...(options.interception && {
        containers: [
          {
            name: 'istio-proxy',
            env: [{ name: 'ISTIO_META_INTERCEPTION_MODE', value: options.interception }],
          },
        ],
      }),
    },
    status: {
      phase: options.phase ?? 'Running',
      podIPs: ip ? [{ ip }] : [],
      ...(options.conditions && { conditions: options.conditions }),
    },
  };
}

export function slice(
  path: string,
  endpoints: { ip: string; pod?: string; ready?: boolean }[],
  ports: (number | { name: string; port: number })[] = [8080],
): KubeObject {
  const { namespace, name } = nameOf(path);
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      namespace,
      name: `${name}-slice`,
      labels: { 'kubernetes.io/service-name': name },
    },
    ports: ports.map((port) => (typeof port === 'number' ? { port } : port)),
    endpoints: endpoints.map(({ ip, pod: target, ready = true }) => ({
      addresses: [ip],
      conditions: { ready },
      ...(target && { targetRef: { kind: 'Pod', namespace, name: target } }),
    })),
  };
}

/** A Service and the pod behind it, with the same name. */
export function app(path: string, ip: string, podIp: string, podOptions: PodOptions = {}) {
  const { name } = nameOf(path);
  return [
    service(path, { ip }),
    pod(path, { ip: podIp, account: name, labels: { app: name }, ...podOptions }),
    slice(path, [{ ip: podIp, pod: name }]),
  ];
}

/** Any Istio object: `istio('VirtualService', 'shop/pay', {...spec})`. */
export function istio(kind: string, path: string, spec: unknown, created = ''): KubeObject {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind,
    metadata: { ...nameOf(path), ...(created && { creationTimestamp: created }) },
    spec,
  };
}

function nameOf(path: string): { namespace: string; name: string } {
  const [namespace = '', name = ''] = path.split('/');
  return { namespace, name };
}
