import { type AccessLogParts, accessLogParts } from '../box/envoy/access-log-patches.ts';
import {
  bootstrap,
  cluster,
  httpFilter,
  httpListener,
  type Json,
  knownCluster,
  type,
} from '../box/envoy/bootstrap.ts';
import { type Envoy, startEnvoy } from '../box/envoy/envoy.ts';
import { routeConfig } from '../box/envoy/routes.ts';
import { without } from './envoy-cost.ts';

/** Sidecars that report their calls by a file, by the gRPC access log, by the filter, or not. */

export const variants = ['nothing', 'file', 'gRPC', 'component', 'filter'] as const;
export type Variant = (typeof variants)[number];

/** Where a sidecar sends its calls and what it has to say of them. */
export type Ports = { upstream: number; accessLog: number; companion: number };

/**
 * The text that Istio writes for a request if the mesh configuration names no format, in Envoy's
 * operators (EnvoyTextLogFormat of pilot/pkg/model/telemetry_logging.go).
 */
const istioFormat = [
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%"',
  '%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS%',
  '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION%',
  '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%"',
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW%',
  '%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS%',
  '%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n',
].join(' ');

/** Hosts of the sidecar, each with its cluster; `file` is where the file log goes. */
export type Sidecar = {
  variant: Variant;
  ports: Ports;
  hosts: Record<string, string>;
  file: string;
};

export async function startSidecar({ variant, ports, hosts, file }: Sidecar): Promise<Envoy> {
  const parts = accessLogParts();
  const plain = without(
    httpListener('http', { route_config: plainRoutes(hosts, []) }, httpFilter({})),
    'app.lazyscope',
  );
  const listeners: Record<Variant, () => Json> = {
    nothing: () => plain,
    file: () => withManager(plain, { access_log: [fileLog(file)] }),
    gRPC: () => withManager(plain, parts.manager),
    component: () => withComponent(plain, parts, hosts),
    filter: () => httpListener('http', { route_config: routeConfig(hosts) }, httpFilter({})),
  };
  const upstreams = [...new Set(Object.values(hosts)), 'PassthroughCluster', 'lazyscope-unknown'];
  return startEnvoy(
    bootstrap(
      [listeners[variant]()],
      [
        ...upstreams.map((name) => cluster(name, ports.upstream)),
        cluster('lazyscope-node', ports.companion),
        cluster('lazyscope-hold', ports.companion),
        parts.clusterOf('lazyscope-nowhere'),
        logCluster(parts, ports.accessLog),
      ],
    ),
  );
}

/** One known host. */
export const oneHost = { 'reviews:9080': knownCluster };

/** As istiod writes it for a provider `envoyFileAccessLog`. */
const fileLog = (path: string): Json => ({
  name: 'envoy.access_loggers.file',
  typed_config: {
    '@type': type('envoy.extensions.access_loggers.file.v3.FileAccessLog'),
    path,
    log_format: { text_format_source: { inline_string: istioFormat } },
  },
});

function plainRoutes(hosts: Record<string, string>, unknown: Json[]): Json {
  const match = { prefix: '/' };
  return {
    name: '9080',
    validate_clusters: false,
    virtual_hosts: [
      ...Object.entries(hosts).map(([host, name]) => ({
        ...{ name: host, domains: [host] },
        routes: [{ match, route: { cluster: name } }],
      })),
      {
        ...{ name: 'allow_any', domains: ['*'] },
        routes: [...unknown, { match, route: { cluster: 'PassthroughCluster' } }],
      },
    ],
  };
}

const managerName = 'envoy.filters.network.http_connection_manager';

/** A copy whose connection manager has these fields, too. */
function withManager(listener: Json, fields: Json): Json {
  return JSON.parse(JSON.stringify(listener), (_key, each) =>
    each?.name === managerName
      ? { ...each, typed_config: { ...each.typed_config, ...fields } }
      : each,
  );
}

/** Everything that the EnvoyFilter adds to the listener of an HTTP port. */
function withComponent(listener: Json, parts: AccessLogParts, hosts: Record<string, string>): Json {
  const route_config = plainRoutes(hosts, parts.routesOf('allow_any'));
  const changed = withManager(listener, { ...parts.manager, route_config });
  return JSON.parse(JSON.stringify(changed), (key, each) => {
    if (key === 'http_filters') return [parts.waiting, ...each];
    return key === 'filters' ? [...parts.markers.slice(0, 1), ...each] : each;
  });
}

/** The shipped cluster, with an address instead of a name. */
function logCluster(parts: AccessLogParts, port: number): Json {
  const { cluster_type, ...shipped } = parts.clusterOf('lazyscope-access-log');
  return { ...shipped, ...cluster('lazyscope-access-log', port) };
}
