import { fileURLToPath } from 'node:url';

// The parts of an Envoy bootstrap that a scoped Istio sidecar with Lazyscope's EnvoyFilter has, as
// JSON of Envoy's v3 API. Names of clusters, routes and headers are those of the manifests.

export type Json = { [key: string]: unknown };
export type Bootstrap = Json;

const filterPath = fileURLToPath(new URL('../../build/filter.wasm', import.meta.url));
export const knownCluster = 'outbound|9080||reviews.app.svc.cluster.local';
export const type = (name: string) => `type.googleapis.com/${name}`;

export function bootstrap(listeners: Json[], clusters: Json[]): Bootstrap {
  return {
    node: { id: 'sidecar~10.0.0.1~client.app~app.svc.cluster.local', cluster: 'client.app' },
    admin: { address: address(0) },
    static_resources: { listeners, clusters },
  };
}

function address(port: number): Json {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}

export function cluster(name: string, port: number, more: Json = {}): Json {
  return {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }],
    },
    ...more,
  };
}

/**
 * A known destination, the outside, the gateway and the called address, in this order, in plain
 * text.
 */
export function sidecarClusters(ports: readonly number[], companionPort: number): Json[] {
  const upstreams = [knownCluster, 'PassthroughCluster', 'lazyscope-egress', 'lazyscope-direct'];
  return [
    ...upstreams.map((name, i) => cluster(name, ports[i] ?? 0)),
    ...['lazyscope-node', 'lazyscope-hold'].map((name) => cluster(name, companionPort)),
  ];
}

/**
 * Upstream TLS as the EnvoyFilter's clusters have it, with certificates from files instead of SDS.
 */
export function mutualTls(files: { ca: string; certificate: string; key: string }): Json {
  return {
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': type('envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext'),
        common_tls_context: {
          tls_certificates: [
            {
              certificate_chain: { filename: files.certificate },
              private_key: { filename: files.key },
            },
          ],
          validation_context: {
            trusted_ca: { filename: files.ca },
            match_typed_subject_alt_names: [
              { san_type: 'URI', matcher: { prefix: 'spiffe://cluster.local/' } },
            ],
          },
        },
      },
    },
  };
}

/**
 * The plugin as istiod generates it from a WasmPlugin: fail open, no VM id, JSON configuration.
 */
function wasmConfig(pluginConfig: unknown): Json {
  return {
    name: 'app.lazyscope',
    root_id: '',
    failure_policy: 'FAIL_OPEN',
    configuration: {
      '@type': type('google.protobuf.StringValue'),
      value: typeof pluginConfig === 'string' ? pluginConfig : JSON.stringify(pluginConfig),
    },
    vm_config: {
      runtime: 'envoy.wasm.runtime.v8',
      code: { local: { filename: filterPath } },
    },
  };
}

/** Removes headers that an app may have forged, before Envoy chooses the route. */
const earlyHeaderMutation: Json = {
  name: 'lazyscope',
  typed_config: {
    '@type': type('envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation'),
    mutations: [{ remove_on_match: { key_matcher: { prefix: 'x-lazyscope-' } } }],
  },
};

/** An HTTP filter that holds the plugin itself. */
export function httpFilter(pluginConfig: unknown): Json {
  return { name: 'app.lazyscope', typed_config: httpPlugin(pluginConfig) };
}

/**
 * An HTTP filter that is discovered from a file, as a WasmPlugin is by istiod's extension
 * discovery.
 */
export function discoveredFilter(path: string): Json {
  return {
    name: 'app.lazyscope',
    config_discovery: {
      config_source: { path_config_source: { path }, resource_api_version: 'V3' },
      type_urls: [type('envoy.extensions.filters.http.wasm.v3.Wasm')],
    },
  };
}

/** The content of the discovery file. */
export function filterDiscovery(version: number, pluginConfig: unknown): Json {
  const resource = {
    '@type': type('envoy.config.core.v3.TypedExtensionConfig'),
    name: 'app.lazyscope',
    typed_config: httpPlugin(pluginConfig),
  };
  return { version_info: String(version), resources: [resource] };
}

function httpPlugin(pluginConfig: unknown): Json {
  return {
    '@type': type('envoy.extensions.filters.http.wasm.v3.Wasm'),
    config: wasmConfig(pluginConfig),
  };
}

export function httpListener(name: string, routes: Json, filter: Json): Json {
  return {
    name,
    address: address(0),
    traffic_direction: 'OUTBOUND',
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type': type(
                'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
              ),
              stat_prefix: name,
              ...routes,
              upgrade_configs: [{ upgrade_type: 'websocket' }],
              early_header_mutation_extensions: [earlyHeaderMutation],
              http_filters: [
                filter,
                {
                  name: 'envoy.filters.http.router',
                  typed_config: { '@type': type('envoy.extensions.filters.http.router.v3.Router') },
                },
              ],
            },
          },
        ],
      },
    ],
  };
}

/** The catch-all chain: the network filter in front of tcp_proxy. */
export function tcpListener(
  name: string,
  pluginConfig: unknown,
  chain = 'virtualOutbound-catchall-tcp',
): Json {
  return {
    name,
    address: address(0),
    traffic_direction: 'OUTBOUND',
    filter_chains: [
      {
        name: chain,
        filters: [
          {
            name: 'app.lazyscope-tcp',
            typed_config: {
              '@type': type('envoy.extensions.filters.network.wasm.v3.Wasm'),
              config: wasmConfig(pluginConfig),
            },
          },
          {
            name: 'envoy.filters.network.tcp_proxy',
            typed_config: {
              '@type': type('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'),
              stat_prefix: name,
              cluster: 'PassthroughCluster',
            },
          },
        ],
      },
    ],
  };
}
