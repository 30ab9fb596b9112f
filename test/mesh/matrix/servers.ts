import { appContainer } from '../../../box/shop.ts';

/**
 * The servers in each namespace of the matrix. Each workload is reached in another way. `mixed` is
 * a Service over `permissive` and `bare`, `mixed-strict` one over `strict` and `bare`; `outside` is
 * the machine outside of the mesh.
 */
export type ServerName =
  | 'strict'
  | 'permissive'
  | 'disable'
  | 'bare'
  | 'stateful'
  | 'mixed'
  | 'mixed-strict'
  | 'outside';

/** Service ports of the matrix, with the port of the pod. */
export const ports = {
  http: { port: 8080, target: 8080 },
  'http-80': { port: 80, target: 8080 },
  grpc: { port: 9090, target: 9090 },
  'tcp-server-first': { port: 9100, target: 9100 },
  'tcp-echo': { port: 9101, target: 9101 },
  tls: { port: 8443, target: 8443 },
  mysql: { port: 3306, target: 9100 },
  // Port names that declare no protocol.
  'sniffed-http': { port: 8180, target: 8080 },
  'sniffed-grpc': { port: 9190, target: 9090 },
  'sniffed-tcp': { port: 9201, target: 9101 },
  'sniffed-tls': { port: 8543, target: 8443 },
  // Another Service declares this port number as TCP.
  'http-contested': { port: 8280, target: 8080 },
  'tcp-contested': { port: 8280, target: 9101 },
  undeclared: { port: 8085, target: 8085 },
} as const;

export type PortName = keyof typeof ports;

const labelsOf: Record<ServerName, Record<string, string>> = {
  strict: { app: 'strict' },
  permissive: { app: 'permissive' },
  disable: { app: 'disable' },
  bare: { app: 'bare' },
  stateful: { app: 'stateful' },
  mixed: { mixed: 'yes' },
  'mixed-strict': { mixedStrict: 'yes' },
  outside: {},
};

type ServiceObject = {
  apiVersion: string;
  kind: string;
  metadata: object;
  spec: { selector: object };
};

/** The Service without its selector. A test writes the endpoints by hand. */
export function withoutSelector(service: ServiceObject): object {
  const { selector: _, ...spec } = service.spec;
  return { ...service, spec };
}

/** The selector of a Service for this server. */
export const selectorOf = (server: ServerName) => labelsOf[server];

/** The ports of the server outside of the mesh. */
export const outsidePorts = { http: 8080, tls: 443, 'tcp-server-first': 3306, 'tcp-echo': 7000 };

/** A Service with some ports. For a headless Service the app connects to the port of the pod. */
export function serviceObject(
  namespace: string,
  name: string,
  server: ServerName,
  names: PortName[],
  headless = false,
): ServiceObject {
  const declared = names.filter((each) => each !== 'undeclared');
  const spec = {
    selector: selectorOf(server),
    ports: (declared.length > 0 ? declared : (['http'] as const)).map((each) => ({
      name: each,
      port: ports[each].port,
      targetPort: ports[each].target,
    })),
    ...(headless && { clusterIP: 'None' }),
  };
  const metadata = metaOf(namespace, name);
  return { apiVersion: 'v1', kind: 'Service', metadata, spec };
}

const metaOf = (namespace: string, name: string) => ({ name, namespace });

function podTemplate(name: string, labels: Record<string, string>) {
  return {
    metadata: { labels },
    spec: { serviceAccountName: name, containers: [appContainer(name)] },
  };
}

function workloadObjects(
  namespace: string,
  name: string,
  more: { labels?: Record<string, string>; stateful?: boolean } = {},
): object[] {
  const selector = { app: name };
  const template = podTemplate(name, { ...selector, ...more.labels });
  const spec = { replicas: 1, selector: { matchLabels: selector }, template };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: metaOf(namespace, name) },
    {
      apiVersion: 'apps/v1',
      kind: more.stateful ? 'StatefulSet' : 'Deployment',
      metadata: metaOf(namespace, name),
      spec: more.stateful ? { ...spec, serviceName: name } : spec,
    },
  ];
}

export function clientObjects(namespace: string, name: string): object[] {
  return workloadObjects(namespace, name);
}

function mtls(namespace: string, mode: string, app?: string): object {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'PeerAuthentication',
    metadata: metaOf(namespace, app ?? 'default'),
    spec: { ...(app && { selector: { matchLabels: { app } } }), mtls: { mode } },
  };
}

/**
 * Clients of the namespace may call everything but `/denied`. The policy needs the client's
 * identity, and so mTLS.
 */
function policy(namespace: string): object {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: metaOf(namespace, 'strict'),
    spec: {
      selector: { matchLabels: { app: 'strict' } },
      action: 'DENY',
      rules: [
        // The rule names the port: without it, Istio would drop the HTTP attributes on TCP ports
        // and deny every connection.
        { to: [{ operation: { paths: ['/denied'], ports: [String(ports.http.target)] } }] },
        { from: [{ source: { notPrincipals: [`cluster.local/ns/${namespace}/sa/*`] } }] },
      ],
    },
  };
}

/** All servers of a namespace: STRICT, with the exceptions. */
export function serverObjects(namespace: string): object[] {
  return [
    mtls(namespace, 'STRICT'),
    mtls(namespace, 'PERMISSIVE', 'permissive'),
    mtls(namespace, 'DISABLE', 'disable'),
    policy(namespace),
    ...workloadObjects(namespace, 'strict', { labels: { mixedStrict: 'yes' } }),
    ...workloadObjects(namespace, 'permissive', { labels: { mixed: 'yes' } }),
    ...workloadObjects(namespace, 'disable'),
    ...workloadObjects(namespace, 'bare', {
      labels: { mixed: 'yes', mixedStrict: 'yes', 'sidecar.istio.io/inject': 'false' },
    }),
    ...workloadObjects(namespace, 'stateful', { stateful: true }),
    serviceObject(namespace, 'stateful', 'stateful', ['http'], true),
    serviceObject(namespace, 'contested', 'permissive', ['tcp-contested']),
  ];
}
