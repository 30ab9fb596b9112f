import { generateKeyPairSync, sign } from 'node:crypto';
import { appContainer, namespaceObject } from '../../../box/shop.ts';

export const namespace = 'matrix-conform';
export const host = `server.${namespace}.svc.cluster.local`;

const meta = (name: string) => ({ name, namespace });
const istio = (group: string, kind: string, name: string, spec: object) => ({
  apiVersion: `${group}.istio.io/v1`,
  kind,
  metadata: meta(name),
  spec,
});

function workload(name: string, labels: Record<string, string>): object[] {
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: meta(name),
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [appContainer(name)] } },
      },
    },
  ];
}

const to = (subset: string) => ({ destination: { host, subset, port: { number: 8080 } } });

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const key = publicKey.export({ format: 'jwk' });

/** A JWT (RFC 7519) that the server accepts, valid for an hour. */
export const token = signedToken({ iss: 'tests', sub: 'a caller', exp: Date.now() / 1000 + 3600 });

function signedToken(claims: { iss: string; sub: string; exp: number }): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claimed = { ...claims, exp: Math.floor(claims.exp) };
  const text = `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claimed)}`;
  return `${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`;
}

/** One rule for each feature of a route. Envoy applies the first rule that matches. */
const routes = [
  { match: [{ uri: { prefix: '/delay' } }], timeout: '0.4s', route: [to('v1')] },
  {
    match: [{ uri: { prefix: '/retry' } }],
    rewrite: { uri: '/status/503' },
    retries: { attempts: 2, perTryTimeout: '2s', retryOn: '5xx' },
    route: [to('v1')],
  },
  {
    match: [{ uri: { prefix: '/fault' } }],
    fault: { abort: { httpStatus: 418, percentage: { value: 100 } } },
    route: [to('v1')],
  },
  {
    match: [{ uri: { prefix: '/mirror' } }],
    mirrors: [{ ...to('v2'), percentage: { value: 100 } }],
    route: [to('v1')],
  },
  { match: [{ headers: { 'x-version': { exact: 'v2' } } }], route: [to('v2')] },
  {
    headers: { request: { set: { 'x-set': 'by-rule' }, remove: ['x-removed'] } },
    route: [to('v1')],
  },
];

const policy = {
  connectionPool: {
    tcp: { maxConnections: 7, connectTimeout: '3s' },
    http: { http1MaxPendingRequests: 11, maxRequestsPerConnection: 13 },
  },
  outlierDetection: { consecutive5xxErrors: 50, interval: '5s', baseEjectionTime: '30s' },
  loadBalancer: {
    simple: 'LEAST_REQUEST',
    localityLbSetting: { enabled: true, failoverPriority: ['topology.kubernetes.io/region'] },
  },
};

/** A rule of every kind that users have, for one Service with two subsets. */
export const objects: object[] = [
  namespaceObject(namespace),
  ...workload('client', { app: 'client' }),
  ...workload('server-v1', { app: 'server', version: 'v1' }),
  ...workload('server-v2', { app: 'server', version: 'v2' }),
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: meta('server'),
    spec: { selector: { app: 'server' }, ports: [{ name: 'http', port: 8080 }] },
  },
  istio('networking', 'DestinationRule', 'server', {
    host,
    trafficPolicy: policy,
    subsets: ['v1', 'v2'].map((version) => ({ name: version, labels: { version } })),
  }),
  istio('networking', 'VirtualService', 'server', { hosts: [host], http: routes }),
  istio('security', 'RequestAuthentication', 'server', {
    selector: { matchLabels: { app: 'server' } },
    jwtRules: [{ issuer: 'tests', jwks: JSON.stringify({ keys: [key] }) }],
  }),
  istio('security', 'AuthorizationPolicy', 'server', {
    selector: { matchLabels: { app: 'server' } },
    action: 'DENY',
    rules: [
      {
        to: [{ operation: { paths: ['/needs-token'] } }],
        from: [{ source: { notRequestPrincipals: ['*'] } }],
      },
    ],
  }),
  istio('telemetry', 'Telemetry', 'logs', {
    accessLogging: [{ providers: [{ name: 'envoy' }] }],
  }),
  {
    ...istio('networking', 'EnvoyFilter', 'own', {
      configPatches: [
        {
          applyTo: 'CLUSTER',
          match: { context: 'SIDECAR_OUTBOUND', cluster: { service: host } },
          patch: { operation: 'MERGE', value: { connect_timeout: '2.345s' } },
        },
        {
          applyTo: 'VIRTUAL_HOST',
          match: { context: 'SIDECAR_OUTBOUND' },
          patch: {
            operation: 'MERGE',
            value: {
              request_headers_to_add: [{ header: { key: 'x-own-filter', value: 'was here' } }],
            },
          },
        },
      ],
    }),
    apiVersion: 'networking.istio.io/v1alpha3',
  },
];
