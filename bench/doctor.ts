import type { Cluster } from '../command/frame/cluster.ts';
import { run } from '../command/program.ts';
import type { KubeObject } from '../companion/kube/object.ts';
import type { Bench } from './bench.ts';
import { row } from './result.ts';

const [services, pods, namespaces] = [5_000, 2_000, 100];

/** `lazyscope doctor` over objects in memory: the time of the reading and of all checks. */
export const doctor: Bench = async () => {
  const objects = objectsOfMesh();
  let out = '';
  const started = performance.now();
  const code = await run(['doctor', '-o', 'json'], {
    program: 'lazyscope',
    out: {
      write(text) {
        out += text;
      },
      warn: () => undefined,
      paint: (text) => text,
      isTerminal: false,
    },
    connect: async () => clusterOf(objects),
    now: Date.now,
    interrupted: async () => undefined,
  });
  const seconds = (performance.now() - started) / 1000;
  const { checks } = JSON.parse(out) as { checks: number };
  if (code !== 0 && code !== 79) throw new Error(`the doctor ended with ${code}`);
  return [
    row('5,000 Services, 2,000 pods', 'time', seconds, 's', { atMost: 10 }),
    row('5,000 Services, 2,000 pods', 'checks', checks, 'checks', { atLeast: 74 }),
  ];
};

function clusterOf(objects: ReadonlyMap<string, KubeObject[]>): Cluster {
  const unused = () => Promise.reject(new Error('the doctor only lists'));
  return {
    namespace: 'default',
    list: async ({ group, plural }) => objects.get(`${plural}.${group}`) ?? [],
    get: async () => undefined,
    ...{ patch: unused, fetchFrom: unused, exec: unused, close: () => undefined },
    ...{ connectTo: unused, createToken: unused, ownToken: unused, followLog: unused },
  };
}

function objectsOfMesh(): Map<string, KubeObject[]> {
  const of = (count: number, make: (index: number) => KubeObject) =>
    Array.from({ length: count }, (_, index) => make(index));
  return new Map([
    ['namespaces.', of(namespaces, namespaceOf)],
    ['services.', of(services, serviceOf)],
    ['endpointslices.discovery.k8s.io', of(services, sliceOf)],
    ['pods.', of(pods, podOf)],
    ['workloadscopes.lazyscope.io', of(pods / 2, scopeOf)],
  ]);
}

const where = (index: number) => `team-${index % namespaces}`;

function namespaceOf(index: number): KubeObject {
  const labels = { 'lazyscope.io/mode': 'enforce' };
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name: `team-${index}`, labels } };
}

function serviceOf(index: number): KubeObject {
  const clusterIP = `10.96.${index >> 8}.${index & 255}`;
  return {
    ...{ apiVersion: 'v1', kind: 'Service' },
    metadata: { namespace: where(index), name: `service-${index}` },
    spec: {
      ...{ clusterIP, clusterIPs: [clusterIP], selector: { app: `app-${index % (pods / 2)}` } },
      ports: [
        { name: 'http', port: 80 },
        { name: 'grpc', port: 9090 },
      ],
    },
  };
}

function sliceOf(index: number): KubeObject {
  const pod = index % pods;
  return {
    ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' },
    metadata: {
      namespace: where(index),
      name: `service-${index}-a`,
      labels: { 'kubernetes.io/service-name': `service-${index}` },
    },
    ports: [{ name: 'http', port: 8080 }],
    endpoints: [{ addresses: [`10.244.${pod >> 8}.${pod & 255}`], conditions: { ready: true } }],
  };
}

/** Two pods of each workload. */
function podOf(index: number): KubeObject {
  const app = `app-${index % (pods / 2)}`;
  return {
    ...{ apiVersion: 'v1', kind: 'Pod' },
    metadata: {
      ...{ namespace: where(index), name: `${app}-${index}`, uid: `pod-${index}` },
      labels: { app, 'security.istio.io/tlsMode': 'istio' },
      annotations: { 'sidecar.istio.io/status': '{}' },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'StatefulSet', name: app, uid: app, controller: true },
      ],
    },
    spec: { nodeName: `node-${index % 50}`, containers: [{ name: 'istio-proxy' }] },
    status: {
      phase: 'Running',
      podIPs: [{ ip: `10.244.${index >> 8}.${index & 255}` }],
      containerStatuses: [{ name: 'istio-proxy', state: { running: {} } }],
    },
  };
}

function scopeOf(index: number): KubeObject {
  const hosts = Array.from({ length: 20 }, (_, each) => {
    const target = (index * 20 + each) % services;
    return {
      host: `${where(target)}/service-${target}.${where(target)}.svc.cluster.local`,
      reason: 'learned',
    };
  });
  return {
    ...{ apiVersion: 'lazyscope.io/v1alpha1', kind: 'WorkloadScope' },
    metadata: { namespace: where(index), name: `app-${index}`, uid: `scope-${index}` },
    spec: { selector: { matchLabels: { app: `app-${index}` } } },
    status: {
      ...{ mode: 'enforce', owners: [`app-${index}`], hostCount: hosts.length, hosts },
      proxies: { total: 2, reporting: 2, scoped: 2, summary: '2/2' },
      conditions: [],
    },
  };
}
