import { clusterName } from './clusters.ts';
import type { Placed } from './objects.ts';
import type { Json, ShippedPatches } from './shipped-patches.ts';

/** No limit, whatever the caller's grpc-timeout says. */
const noDuration = { max_stream_duration: '0s', grpc_timeout_header_max: '0s' };

/** istiod's default policy (pilot/pkg/networking/core/route/retry/retry.go) repeats elsewhere. */
const previousHosts = {
  name: 'envoy.retry_host_predicates.previous_hosts',
  typed_config: {
    '@type':
      'type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
  },
};

const typeUrl = 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration';

/**
 * The routes of one HTTP port as istiod makes them: a virtual host for each host, under the names
 * that the caller's namespace may use, and `allow_any` for all others
 * (pilot/pkg/networking/core/httproute.go).
 */
export function routeConfiguration(
  port: number,
  services: readonly Placed[],
  sentinel: string | undefined,
  namespace: string,
  patches: ShippedPatches,
): Json {
  const hosts = services.map((service) =>
    virtualHost(service.host, domainsOf(service, namespace), port, patches),
  );
  if (sentinel) hosts.push(virtualHost(sentinel, [sentinel], port, patches));
  const allowAny = {
    name: 'allow_any',
    match: { prefix: '/' },
    route: { cluster: 'PassthroughCluster', timeout: '0s', max_stream_duration: noDuration },
  };
  return {
    '@type': typeUrl,
    name: String(port),
    virtual_hosts: [
      ...hosts,
      {
        name: 'allow_any',
        domains: ['*'],
        routes: [...patches.routesBefore, allowAny, ...patches.routesAfter],
        include_request_attempt_count: true,
      },
    ],
    validate_clusters: false,
    max_direct_response_body_size_bytes: 1_048_576,
    ignore_port_in_host_matching: true,
  };
}

function virtualHost(host: string, domains: string[], port: number, patches: ShippedPatches): Json {
  const name = `${host}:${port}`;
  const route = {
    name: 'default',
    match: { prefix: '/' },
    decorator: { operation: `${name}/*` },
    route: {
      cluster: clusterName(host, port),
      timeout: '0s',
      retry_policy: {
        retry_on: 'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes',
        num_retries: 2,
        retry_host_predicate: [previousHosts],
        host_selection_retry_max_attempts: '5',
      },
      max_stream_duration: noDuration,
    },
  };
  return {
    name,
    domains,
    routes: [...patches.routesBefore, route, ...patches.routesAfter],
    include_request_attempt_count: true,
  };
}

function domainsOf({ host, name, namespace, clusterIp }: Placed, from: string): string[] {
  const inNamespace = `${name}.${namespace}`;
  return [
    host,
    ...(namespace === from ? [name] : []),
    `${inNamespace}.svc`,
    inNamespace,
    clusterIp,
  ];
}
