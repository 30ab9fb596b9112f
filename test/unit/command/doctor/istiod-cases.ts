import type { Case } from './situation.ts';

const env = (id: string, name: string, there: string, not: string): Case => [
  id,
  { env: { [name]: there } },
  { env: { [name]: not } },
];

export const settingCases: Case[] = [
  env('istiod-lazy-evaluation', 'ENABLE_LAZY_SIDECAR_EVALUATION', 'false', 'true'),
  env('istiod-scope-concurrency', 'PILOT_CONVERT_SIDECAR_SCOPE_CONCURRENCY', '4', '1'),
  env('istiod-cache', 'PILOT_ENABLE_CDS_CACHE', 'false', 'true'),
  env('istiod-delta', 'ISTIO_DELTA_XDS', 'false', 'true'),
  env('istiod-analysis', 'PILOT_ENABLE_ANALYSIS', 'true', 'false'),
  [
    'istiod-removed-setting',
    { env: { PILOT_PARTIAL_FULL_PUSHES: 'true' } },
    { env: { PILOT_STATUS_MAX_WORKERS: '50' } },
  ],
  env('istiod-debounce', 'PILOT_DEBOUNCE_AFTER', '1s', '500ms'),
  env('istiod-eds-debounce', 'PILOT_ENABLE_EDS_DEBOUNCE', 'false', 'true'),
  env('istiod-route-collapse', 'PILOT_ENABLE_ROUTE_COLLAPSE_OPTIMIZATION', 'false', 'true'),
  env('istiod-cache-size', 'PILOT_XDS_CACHE_SIZE', '10000', '60000'),
  env('istiod-push-throttle', 'PILOT_PUSH_THROTTLE', '5', '0'),
  env('istiod-request-rate', 'PILOT_MAX_REQUESTS_PER_SECOND', '10', '25'),
  env('istiod-debug-auth', 'ENABLE_DEBUG_ENDPOINT_AUTH', 'false', 'true'),
  env('istiod-unsafe', 'UNSAFE_ENABLE_ADMIN_ENDPOINTS', 'true', 'false'),
  env('istiod-open', 'XDS_AUTH', 'false', 'true'),
  env('istiod-trust-domain', 'PILOT_SKIP_VALIDATE_TRUST_DOMAIN', 'true', 'false'),
];

/** All of a hundred observations are above `low`, and within `high`. */
const histogram = (name: string, low: number, high: number) =>
  [
    `${name}_bucket{le="${low}"} 0`,
    `${name}_bucket{le="${high}"} 100`,
    `${name}_bucket{le="+Inf"} 100`,
    `${name}_count 100\n`,
  ].join('\n');
const slow = (id: string, name: string, there: [number, number], not: [number, number]): Case => [
  id,
  { metrics: histogram(name, ...there) },
  { metrics: histogram(name, ...not) },
];
const counter = (id: string, name: string, labels = ''): Case => [
  id,
  { metrics: `${name}${labels} 2\n` },
  { metrics: `${name}${labels} 0\n` },
];
const sized = (id: string, within: [number, number, number]): Case => {
  const type = 'type="type.googleapis.com/envoy.config.route.v3.RouteConfiguration"';
  const name = 'pilot_xds_config_size_bytes';
  const [mega4, mega10, all] = within;
  return [
    id,
    {
      metrics: `${name}_bucket{${type},le="4e+06"} ${mega4}\n${name}_bucket{${type},le="1e+07"} ${mega10}\n${name}_count{${type}} ${all}\n`,
    },
    {
      metrics: `${name}_bucket{${type},le="4e+06"} 7\n${name}_bucket{${type},le="1e+07"} 7\n${name}_count{${type}} 7\n`,
    },
  ];
};
/** Its first calls are held. */
export const heldNamespace = {
  ...{ apiVersion: 'v1', kind: 'Namespace' },
  metadata: {
    name: 'shop',
    labels: { 'lazyscope.io/mode': 'enforce' },
    annotations: { 'lazyscope.io/first-call': 'hold' },
  },
};
export const secondIstiod = {
  ...{ apiVersion: 'v1', kind: 'Pod' },
  metadata: { namespace: 'istio-system', name: 'istiod-1', labels: { app: 'istiod' } },
  spec: { containers: [{ name: 'discovery' }] },
  status: { phase: 'Running' },
};

/** Updates in the hour since istiod started, 4,100 in all. */
const busy = (services: number) =>
  [
    `pilot_k8s_cfg_events{event="update",type="ServiceEntry"} ${services}`,
    `pilot_k8s_cfg_events{event="update",type="Gateway"} ${4_100 - services}\n`,
  ].join('\n');

export const metricCases: Case[] = [
  slow('istiod-debounce-time', 'pilot_debounce_time', [3, 5], [1, 3]),
  [
    'istiod-busy-kind',
    { metrics: busy(4_000) },
    // As many in all, of two kinds.
    { metrics: busy(3_600) },
  ],
  slow('istiod-queue-time', 'pilot_proxy_queue_time', [1, 3], [0.1, 0.5]),
  slow('istiod-push-context', 'pilot_pushcontext_init_seconds', [0.5, 1], [0.1, 0.5]),
  slow('istiod-convergence', 'pilot_proxy_convergence_time', [10, 20], [3, 5]),
  [
    'istiod-hold-late',
    { metrics: histogram('pilot_proxy_convergence_time', 3, 5), objects: [heldNamespace] },
    { metrics: histogram('pilot_proxy_convergence_time', 3, 5) },
  ],
  sized('istiod-config-size', [5, 7, 7]),
  sized('istiod-config-huge', [5, 5, 7]),
  counter('istiod-rejects', 'pilot_total_xds_rejects', '{type="cds"}'),
  counter('istiod-write-timeout', 'pilot_xds_write_timeout'),
  counter('istiod-send-errors', 'pilot_xds_pushes', '{type="cds_senderr"}'),
  counter('istiod-internal-errors', 'pilot_total_xds_internal_errors'),
  [
    'istiod-large-request',
    { metrics: 'pilot_xds_recv_max 3.9e+06\n' },
    { metrics: 'pilot_xds_recv_max 1e+06\n' },
  ],
  counter('istiod-unknown-provider', 'provider_lookup_cluster_failures', '{type="envoyOtelAls"}'),
  counter('istiod-injection-failures', 'sidecar_injection_failure_total'),
  counter('istiod-remote-cluster', 'remote_cluster_sync_timeouts_total'),
  counter('istiod-tcp-conflict', 'pilot_conflict_outbound_listener_tcp_over_current_tcp'),
  counter('istiod-duplicate-clusters', 'pilot_duplicate_envoy_clusters'),
  counter('istiod-empty-dns-cluster', 'pilot_dns_cluster_without_endpoints'),
  counter('istiod-certificate-errors', 'citadel_server_csr_sign_err_count'),
  [
    'istiod-root-certificate',
    { metrics: 'citadel_server_root_cert_expiry_timestamp 1.797e+09\n' },
    { metrics: 'citadel_server_root_cert_expiry_timestamp 1.9e+09\n' },
  ],
  counter('istiod-jwks', 'pilot_jwks_resolver_network_fetch_fail_total'),
  [
    'istiod-proxies',
    { metrics: 'pilot_xds{version="1.30.2"} 2000\n' },
    { metrics: 'pilot_xds{version="1.30.2"} 1000\n' },
  ],
  [
    'istiod-uneven',
    { metrics: 'pilot_xds{version="1.30.2"} 200\n', objects: [secondIstiod] },
    { metrics: 'pilot_xds{version="1.30.2"} 50\n', objects: [secondIstiod] },
  ],
];
