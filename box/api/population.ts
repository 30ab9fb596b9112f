import type { ApiServer } from './api-server.ts';

/** A cluster of objects only: workloads with sidecars, their Services, and other Services. */
export type Population = {
  workloads: number;
  services: number;
  /** Default: 2. */
  podsPerWorkload?: number;
  /** Default: 20. */
  nodes?: number;
  /** Indices of the Services that a workload calls; default: ten, chosen from the whole mesh. */
  destinations?: (workload: number) => readonly number[];
};

export const podsPerWorkload = ({ podsPerWorkload: count = 2 }: Population) => count;
export const nodesOf = ({ nodes = 20 }: Population) => nodes;
/** Index of the node that a pod is on. */
export const nodeOf = (workload: number, pod: number, population: Population) =>
  (workload + pod * Math.floor(nodesOf(population) / podsPerWorkload(population))) %
  nodesOf(population);
const perNamespace = 50;
/** Concurrent requests: more of them would only queue in an API server on two cores. */
const concurrency = 24;

export const namespaceOf = (workload: number) => `app-${Math.floor(workload / perNamespace)}`;
export const workloadName = (workload: number) => `workload-${workload}`;
export const podName = (workload: number, pod: number) =>
  `${workloadName(workload)}-6d5f7c9b8-${pod}`;
/** Namespace of a Service; the first Services belong to the workloads. */
const serviceNamespace = (service: number, { workloads }: Population) =>
  service < workloads ? namespaceOf(service) : `synthetic-${Math.floor(service / perNamespace)}`;
const serviceName = (service: number, { workloads }: Population) =>
  service < workloads ? workloadName(service) : `service-${service}`;

export const clusterOf = (service: number, population: Population) =>
  `outbound|8080||${serviceName(service, population)}.${serviceNamespace(service, population)}.svc.cluster.local`;

export const serviceRef = (service: number, population: Population) => ({
  namespace: serviceNamespace(service, population),
  name: serviceName(service, population),
});

export async function populate(api: ApiServer, population: Population): Promise<void> {
  const { workloads, services } = population;
  const indices = Array.from({ length: services }, (_, i) => i);
  const used = new Set(indices.map((i) => serviceNamespace(i, population)));
  const system = ['lazyscope-system', 'istio-system'];
  await inParallel([...used, ...system], (name) =>
    api.call('POST', '/api/v1/namespaces', namespaceObject(name)),
  );
  const enabled = new Set(indices.slice(0, workloads).map(namespaceOf));
  await inParallel([...enabled], (name) => installFilter(api, name));
  await inParallel(indices, async (i) => {
    const namespace = serviceNamespace(i, population);
    const slices = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;
    await api.call('POST', `/api/v1/namespaces/${namespace}/services`, service(i, population));
    await api.call('POST', slices, slice(i, population));
  });
  await inParallel(indices.slice(0, workloads), async (i) => {
    for (let pod = 0; pod < podsPerWorkload(population); pod++) {
      const path = `/api/v1/namespaces/${namespaceOf(i)}/pods`;
      await api.call('POST', path, injectedPod(i, pod, nodeOf(i, pod, population)));
      const status = { status: podStatus(addressOf(i, pod)) };
      await api.call('PATCH', `${path}/${podName(i, pod)}/status`, status);
    }
  });
}

/** The objects that a namespace needs for narrowing (manifests/namespace). */
const filterObjects = [
  { group: 'networking.istio.io/v1alpha3', kind: 'EnvoyFilter', name: 'lazyscope', spec: {} },
  ...['lazyscope', 'lazyscope-tcp'].map((name) => ({
    group: 'extensions.istio.io/v1alpha1',
    kind: 'WasmPlugin',
    name,
    spec: { url: 'http://filter.example.com/filter.wasm' },
  })),
];

export async function installFilter(api: ApiServer, namespace: string): Promise<void> {
  for (const { group, kind, name, spec } of filterObjects) {
    const path = `/apis/${group}/namespaces/${namespace}/${kind.toLowerCase()}s`;
    await api.call('POST', path, { apiVersion: group, kind, metadata: { name }, spec });
  }
}

async function inParallel<Item>(items: Item[], work: (item: Item) => Promise<unknown>) {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}

function namespaceObject(name: string): object {
  const enabled = name.startsWith('app-') ? { 'lazyscope.io/mode': 'enforce' } : {};
  return { metadata: { name, labels: { 'istio-injection': 'enabled', ...enabled } } };
}

const ports = [
  { name: 'http', port: 8080 },
  { name: 'http-admin', port: 9080 },
];

function service(index: number, population: Population): object {
  const name = serviceName(index, population);
  const selector = index < population.workloads ? { app: name } : undefined;
  return { metadata: { name, labels: { app: name } }, spec: { ports, selector } };
}

const addressOf = (index: number, endpoint: number) =>
  `10.${100 + endpoint}.${index >> 8}.${index & 255}`;

function slice(index: number, population: Population): object {
  const name = serviceName(index, population);
  const namespace = serviceNamespace(index, population);
  const pod = (i: number) => ({ kind: 'Pod', name: podName(index, i), namespace });
  return {
    metadata: { name: `${name}-x7k2p`, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports,
    endpoints: Array.from({ length: podsPerWorkload(population) }, (_, i) => ({
      addresses: [addressOf(index, i)],
      conditions: { ready: true, serving: true, terminating: false },
      ...(index < population.workloads && { targetRef: pod(i) }),
    })),
  };
}

/** About as large as a pod of a small Deployment with Istio's sidecar: 10 KB. */
function injectedPod(workload: number, index: number, node: number): object {
  const app = workloadName(workload);
  const settings = (count: number) =>
    Array.from({ length: count }, (_, i) => ({
      name: `SETTING_OF_THE_CONTAINER_${i}`,
      value: `a value of the length that is usual for ${app}`,
    }));
  const container = (name: string, env: number) => ({
    name,
    image: `registry.example.com/team/${name}:1.0.0`,
    args: ['--log-level', 'info', '--port', '8080', '--config', '/etc/app/config.yaml'],
    env: settings(env),
    ports: [{ containerPort: 8080, name: 'http' }],
    readinessProbe: { httpGet: { path: '/healthz', port: 8080 }, periodSeconds: 5 },
    resources: { requests: { cpu: '10m', memory: '32Mi' }, limits: { memory: '256Mi' } },
  });
  const replicaSet = `${app}-6d5f7c9b8`;
  return {
    metadata: {
      name: podName(workload, index),
      labels: {
        app,
        'pod-template-hash': '6d5f7c9b8',
        'security.istio.io/tlsMode': 'istio',
        'service.istio.io/canonical-name': app,
        'service.istio.io/canonical-revision': 'latest',
      },
      annotations: {
        'sidecar.istio.io/status': JSON.stringify({
          containers: ['istio-proxy'],
          revision: 'default',
        }),
      },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: replicaSet, uid: app, controller: true },
      ],
    },
    spec: {
      serviceAccountName: app,
      nodeName: `node-${node}`,
      containers: [container('app', 15), container('istio-proxy', 30)],
      initContainers: [{ name: 'istio-init', image: 'registry.example.com/proxyv2:1.32.0' }],
    },
  };
}

function podStatus(ip: string): object {
  const since = new Date().toISOString();
  const conditions = ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) => ({
    type,
    status: 'True',
    lastTransitionTime: since,
  }));
  return { phase: 'Running', podIP: ip, podIPs: [{ ip }], startTime: since, conditions };
}
