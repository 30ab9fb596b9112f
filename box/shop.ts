import { imageName } from './artifacts/images.ts';
import type { Mesh } from './mesh.ts';

export const shopNamespace = 'shop';

/** Every workload serves HTTP, gRPC and two kinds of TCP under its own name and service account. */
export const shopWorkloads = [
  'frontend',
  'catalog',
  'cart',
  'checkout',
  'payment',
  'inventory',
  'reviews',
  'ratings',
] as const;

export const appPorts = {
  http: 8080,
  /** The same as `http`, on a port that no Service declares. */
  undeclared: 8085,
  tls: 8443,
  grpc: 9090,
  tcpServerFirst: 9100,
  tcpEcho: 9101,
};

/** The container of the test application, which every test workload runs. */
export function appContainer(name: string): object {
  const { http, undeclared, tls, grpc, tcpServerFirst, tcpEcho } = appPorts;
  const healthy = { path: '/healthz', port: http };
  return {
    name: 'app',
    image: imageName('app'),
    args: [
      'serve',
      ...['--name', name, '--http', `${http},${undeclared}`, '--tls', String(tls)],
      ...['--grpc', String(grpc)],
      ...['--tcp-server-first', String(tcpServerFirst), '--tcp-echo', String(tcpEcho)],
    ],
    env: [
      ['POD_NAME', 'metadata.name'],
      ['POD_NAMESPACE', 'metadata.namespace'],
      ['NODE_NAME', 'spec.nodeName'],
    ].map(([variable, fieldPath]) => ({ name: variable, valueFrom: { fieldRef: { fieldPath } } })),
    // Asked each second only until the start: for many pods, such questions are real work.
    startupProbe: { httpGet: healthy, periodSeconds: 1, failureThreshold: 600 },
    // With the default of one second, a busy machine would take endpoints away.
    readinessProbe: { httpGet: healthy, periodSeconds: 10, timeoutSeconds: 10 },
    resources: { requests: { cpu: '10m', memory: '16Mi' } },
  };
}

const servicePorts = [
  { name: 'http', port: appPorts.http },
  { name: 'grpc', port: appPorts.grpc },
  { name: 'tcp-server-first', port: appPorts.tcpServerFirst },
  { name: 'tcp-echo', port: appPorts.tcpEcho },
];

export function namespaceObject(name: string, injected = true): object {
  const labels = injected ? { 'istio-injection': 'enabled' } : {};
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

/** A Deployment, its Service and its ServiceAccount, on the given node or on any node. */
export function workload(
  namespace: string,
  name: string,
  options: {
    replicas?: number;
    node?: string | undefined;
    annotations?: Record<string, string> | undefined;
  } = {},
): object[] {
  const { replicas = 1, node, annotations } = options;
  const metadata = { name, namespace };
  const labels = { app: name };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector: labels, ports: servicePorts },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: {
        replicas,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels, annotations },
          spec: {
            serviceAccountName: name,
            ...(node && { nodeSelector: { 'kubernetes.io/hostname': node } }),
            containers: [appContainer(name)],
          },
        },
      },
    },
  ];
}

/** Eight workloads with sidecars in the namespace `shop`; returns when all are ready. */
export async function installShop(mesh: Mesh): Promise<void> {
  const workloads = shopWorkloads.flatMap((name) => workload(shopNamespace, name));
  await mesh.apply([namespaceObject(shopNamespace), ...workloads]);
  await mesh.rollout(shopNamespace);
}

export async function shopHints(mesh: Mesh): Promise<string> {
  const { name } = await mesh.pod(shopNamespace, 'app=frontend');
  const command = (args: string) => `  npm run -s mesh -- ${args}`;
  return [
    '',
    'Try:',
    command('status'),
    command(`kubectl exec -n shop ${name} -- meshapp call http://reviews:8080/`),
    command(`admin shop/${name} /memory`),
    command('istioctl proxy-status'),
    command('down'),
  ].join('\n');
}
