import { type Json, type } from './bootstrap.ts';

const retryPolicy: Json = {
  retry_on: 'connect-failure,refused-stream,reset-before-request',
  num_retries: 2,
};

/**
 * The marker routes, first in every virtual host. Only the route to the companion follows a 307; a
 * redirect of a destination belongs to the app.
 */
const markerRoutes: Json[] = [
  {
    name: 'lazyscope_hold',
    match: {
      prefix: '/',
      headers: [{ name: 'x-lazyscope-cluster', string_match: { exact: 'lazyscope-hold' } }],
    },
    route: {
      cluster: 'lazyscope-hold',
      timeout: '0s',
      internal_redirect_policy: { max_internal_redirects: 200, redirect_response_codes: [307] },
      retry_policy: retryPolicy,
    },
    request_headers_to_remove: ['x-lazyscope-cluster'],
  },
  {
    name: 'lazyscope_first_call',
    match: { prefix: '/', headers: [{ name: 'x-lazyscope-cluster', present_match: true }] },
    route: { cluster_header: 'x-lazyscope-cluster', timeout: '0s', retry_policy: retryPolicy },
    request_headers_to_remove: ['x-lazyscope-cluster'],
  },
];

/** The settings of the namespace's EnvoyFilter for routes with a direct response. */
const answering: Json = { metadata: { filter_metadata: { lazyscope: { answers: true } } } };

/** The last route of every virtual host, where a held request returns that no rule matches. */
const noRoute: Json = {
  ...answering,
  name: 'lazyscope_no_route',
  match: { prefix: '/', headers: [{ name: 'x-lazyscope-destination', present_match: true }] },
  direct_response: { status: 404 },
};

/**
 * Routes of a scoped sidecar: the known hosts, then everything else. `blocked` is REGISTRY_ONLY;
 * `outside` is the cluster of ALLOW_ANY for unknown calls: an egressProxy or PassthroughCluster.
 * `matched` is the prefix of the only rule of each known host.
 */
export function routeConfig(
  known: { [host: string]: string },
  { blocked = false, outside = 'PassthroughCluster', matched = '/' } = {},
): Json {
  const rest = blocked
    ? { name: 'block_all', match: { prefix: '/' }, direct_response: { status: 502 } }
    : { name: 'allow_any', match: { prefix: '/' }, route: { cluster: outside } };
  return {
    name: '9080',
    virtual_hosts: [
      ...Object.entries(known).map(([host, name]) => ({
        name: host,
        domains: [host],
        routes: [
          ...markerRoutes,
          { match: { prefix: matched }, route: { cluster: name } },
          noRoute,
        ],
      })),
      // A VirtualService's redirect or direct response: a known host whose route has no cluster.
      {
        name: 'teapot',
        domains: ['teapot'],
        routes: [
          ...markerRoutes,
          { ...answering, match: { prefix: '/' }, direct_response: { status: 418 } },
          noRoute,
        ],
      },
      // A VirtualService without a rule for the request.
      {
        name: 'ruled',
        domains: ['ruled'],
        routes: [
          ...markerRoutes,
          { match: { prefix: '/matched' }, route: { cluster: outside } },
          noRoute,
        ],
      },
      { name: rest.name, domains: ['*'], routes: [...markerRoutes, rest, noRoute] },
    ],
    validate_clusters: false,
  };
}

/** Route discovery from a file, in place of istiod's pushes. */
export function routesFrom(path: string): Json {
  return {
    rds: {
      route_config_name: '9080',
      config_source: { path_config_source: { path }, resource_api_version: 'V3' },
    },
  };
}

/** The content of the discovery file. */
export function routeDiscovery(version: number, routes: Json): Json {
  const resource = {
    '@type': type('envoy.config.route.v3.RouteConfiguration'),
    ...routes,
    // Envoy ignores an update with unchanged content, and also ignores its version.
    internal_only_headers: [`x-version-${version}`],
  };
  return { version_info: String(version), resources: [resource] };
}
