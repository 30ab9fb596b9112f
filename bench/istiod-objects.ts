import type { ApiServer } from '../box/api/api-server.ts';

/** Objects that make a real istiod slow, send much, or meet what is wrong. */

type Made = { collection: string; object: { metadata: { name: string } } & object };

const groups: Record<string, string> = {
  PeerAuthentication: 'security.istio.io/v1',
  RequestAuthentication: 'security.istio.io/v1',
  Telemetry: 'telemetry.istio.io/v1',
};

/** An object of Istio. */
function made(kind: string, namespace: string, name: string, spec: object): Made {
  const apiVersion = groups[kind] ?? 'networking.istio.io/v1';
  const plural = `${kind.toLowerCase().replace(/y$/, 'ie')}s`;
  return {
    collection: `/apis/${apiVersion}/namespaces/${namespace}/${plural}`,
    object: { apiVersion, kind, metadata: { name }, spec } as Made['object'],
  };
}

async function create(api: ApiServer, all: readonly Made[]): Promise<() => Promise<void>> {
  for (const { collection, object } of all) await api.call('POST', collection, object);
  return async () => {
    for (const { collection, object } of all)
      await api.call('DELETE', `${collection}/${object.metadata.name}`);
  };
}

const serviceEntry = (name: string, spec: object) => made('ServiceEntry', 'app-0', name, spec);

/** A change that every proxy gets: a ServiceEntry with another port each time. */
export async function touch(api: ApiServer, turn: number): Promise<void> {
  const name = 'touched';
  const spec = {
    ...{ hosts: ['touched.example'], resolution: 'DNS' },
    ports: [{ number: 8_100 + (turn % 100), name: 'http', protocol: 'HTTP' }],
  };
  const { collection, object } = serviceEntry(name, spec);
  await api
    .call('PATCH', `${collection}/${name}`, { spec })
    .catch(() => api.call('POST', collection, object));
}

/** A change after which istiod makes all of the configuration of every proxy anew. */
export async function touchAll(api: ApiServer, turn: number): Promise<void> {
  const spec = { mtls: { mode: turn % 2 === 0 ? 'STRICT' : 'PERMISSIVE' } };
  const { collection, object } = made('PeerAuthentication', 'app-0', 'touched', spec);
  await api
    .call('PATCH', `${collection}/touched`, { spec })
    .catch(() => api.call('POST', collection, object));
}

/** Sidecars that each import everything. */
export async function manyScopes(api: ApiServer, count: number) {
  const all = Array.from({ length: count }, (_, i): Made => {
    const spec = {
      workloadSelector: { labels: { app: `nothing-${i}` } },
      egress: [{ hosts: ['*/*'] }],
    };
    return made('Sidecar', 'app-0', `wide-${i}`, spec);
  });
  return { remove: await create(api, all) };
}

const tcp = [{ number: 7_777, name: 'tcp', protocol: 'TCP' }];
const endpoints = (address: string) => [{ address, labels: { version: 'v1' } }];

/** A cluster whose API server answers nothing. */
const unreachable = JSON.stringify({
  ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'far' },
  clusters: [{ name: 'far', cluster: { server: 'https://127.0.0.1:1' } }],
  users: [{ name: 'far', user: { token: 'none' } }],
  contexts: [{ name: 'far', context: { cluster: 'far', user: 'far' } }],
});

const wrongs: readonly Made[] = [
  // Two TCP Services without addresses on one port.
  ...['one', 'two'].map((name) =>
    serviceEntry(`tcp-${name}`, {
      ...{ hosts: [`tcp-${name}.example`], ports: tcp, resolution: 'STATIC' },
      endpoints: endpoints(name === 'one' ? '192.0.2.1' : '192.0.2.2'),
    }),
  ),
  // A subset that selects no endpoint.
  serviceEntry('named', {
    ...{ hosts: ['named.example'], resolution: 'DNS' },
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    endpoints: endpoints('real.example'),
  }),
  made('DestinationRule', 'app-0', 'named', {
    ...{ host: 'named.example', subsets: [{ name: 'v2', labels: { version: 'v2' } }] },
  }),
  made('RequestAuthentication', 'istio-system', 'keys', {
    jwtRules: [{ issuer: 'far', jwksUri: 'http://127.0.0.1:1/keys' }],
  }),
  made('Telemetry', 'istio-system', 'logs', {
    accessLogging: [{ providers: [{ name: 'nowhere' }] }],
  }),
  {
    collection: '/api/v1/namespaces/istio-system/secrets',
    object: {
      metadata: { name: 'far', labels: { 'istio/multiCluster': 'true' } },
      stringData: { far: unreachable },
    } as Made['object'],
  },
];

const meshConfig = `rootNamespace: istio-system
extensionProviders:
  - name: nowhere
    envoyHttpAls: {service: logs.nowhere.example, port: 9000}
`;

/** Objects that name what is not there, and the counters that show it. */
export async function wrongObjects(api: ApiServer) {
  const metrics = [
    'pilot_conflict_outbound_listener_tcp_over_current_tcp',
    'pilot_dns_cluster_without_endpoints',
    'pilot_jwks_resolver_network_fetch_fail_total',
    'provider_lookup_cluster_failures',
    'remote_cluster_sync_timeouts_total',
    'pilot_total_xds_rejects',
  ];
  return { meshConfig, metrics, remove: await create(api, wrongs) };
}

/** Rules of one Service with long routes; each turn adds a megabyte. */
export async function writeRoutes(api: ApiServer, turn: number): Promise<void> {
  const http = Array.from({ length: 500 }, (_, i) => ({
    match: [{ uri: { prefix: `/route-${turn}-${i}-${'x'.repeat(2_000)}` } }],
    route: [{ destination: { host: 'workload-1.app-0.svc.cluster.local' } }],
  }));
  const spec = { hosts: [`workload-${turn}.app-0.svc.cluster.local`], http };
  const { collection, object } = made('VirtualService', 'app-0', `long-${turn}`, spec);
  await api.call('POST', collection, object);
}
