import { fileSource, loopback } from './clusters.ts';
import { type Json, type ShippedPatches, shippedPath } from './shipped-patches.ts';

/** Listeners of a sidecar, with the names and shapes that istiod gives them. */

const type = (name: string) => `type.googleapis.com/${name}`;
const listenerType = type('envoy.config.listener.v3.Listener');

/**
 * The listener to which iptables would redirect every outbound connection. On this machine the
 * app's stand-in sends the original destination by the PROXY protocol, and the listener uses it as
 * if it came from the socket. `port` 0: any free port.
 */
export function virtualOutbound(port: number, patches: ShippedPatches): Json {
  return {
    '@type': listenerType,
    name: 'virtualOutbound',
    address: loopback(port),
    traffic_direction: 'OUTBOUND',
    use_original_dst: true,
    listener_filters: [
      {
        name: 'envoy.filters.listener.proxy_protocol',
        typed_config: {
          '@type': type('envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol'),
        },
      },
    ],
    filter_chains: [
      {
        name: 'virtualOutbound-catchall-tcp',
        filters: [tcpPlugin(patches), tcpProxy('PassthroughCluster', 'PassthroughCluster')],
      },
    ],
  };
}

/** One listener for each HTTP port. It is not bound: connections come from `virtualOutbound`. */
export function httpListener(port: number, routesFile: string, patches: ShippedPatches): Json {
  const name = `0.0.0.0_${port}`;
  return {
    '@type': listenerType,
    name,
    address: { socket_address: { address: '0.0.0.0', port_value: port } },
    bind_to_port: false,
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
              stat_prefix: `outbound_${name}`,
              rds: { route_config_name: String(port), config_source: fileSource(routesFile) },
              http_filters: [httpPlugin(patches), router],
              upgrade_configs: [{ upgrade_type: 'websocket' }],
              use_remote_address: false,
              normalize_path: true,
              stream_idle_timeout: '0s',
              request_id_extension: {
                typed_config: {
                  '@type': type('envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig'),
                  use_request_id_for_trace_sampling: true,
                },
              },
              ...withoutType(patches.connectionManager),
            },
          },
        ],
      },
    ],
  };
}

function withoutType({ '@type': _, ...fields }: Json): Json {
  return fields;
}

const router: Json = {
  name: 'envoy.filters.http.router',
  typed_config: { '@type': type('envoy.extensions.filters.http.router.v3.Router') },
};

function tcpProxy(cluster: string, prefix: string): Json {
  return {
    name: 'envoy.filters.network.tcp_proxy',
    typed_config: {
      '@type': type('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'),
      stat_prefix: prefix,
      cluster,
    },
  };
}

/** The shipped filter, configured as istiod configures a WasmPlugin of the manifests. */
function httpPlugin({ plugins }: ShippedPatches): Json {
  return {
    name: 'extensions.istio.io/trafficextension/shop.lazyscope~istio-translated-wasmplugin',
    typed_config: {
      '@type': type('envoy.extensions.filters.http.wasm.v3.Wasm'),
      config: wasmConfig('shop.lazyscope', plugins.http),
    },
  };
}

function tcpPlugin({ plugins }: ShippedPatches): Json {
  return {
    name: 'extensions.istio.io/trafficextension/shop.lazyscope-tcp~istio-translated-wasmplugin',
    typed_config: {
      '@type': type('envoy.extensions.filters.network.wasm.v3.Wasm'),
      config: wasmConfig('shop.lazyscope-tcp', plugins.tcp),
    },
  };
}

function wasmConfig(name: string, pluginConfig: Json): Json {
  return {
    name,
    failure_policy: 'FAIL_OPEN',
    configuration: {
      '@type': type('google.protobuf.StringValue'),
      value: JSON.stringify(pluginConfig),
    },
    vm_config: {
      runtime: 'envoy.wasm.runtime.v8',
      code: { local: { filename: shippedPath('build/filter.wasm') } },
    },
  };
}

/**
 * The only server of the lazy egress gateway. It passes Istio mTLS through by SNI, with a filter
 * chain for each port of each service, as istiod generates for `AUTO_PASSTHROUGH`.
 */
export function passthroughListener(port: number, names: readonly string[]): Json {
  return {
    '@type': listenerType,
    name: '0.0.0.0_15443',
    address: loopback(port),
    traffic_direction: 'OUTBOUND',
    listener_filters: [
      {
        name: 'envoy.filters.listener.tls_inspector',
        typed_config: {
          '@type': type('envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector'),
        },
      },
    ],
    filter_chains: names.map((name) => ({
      filter_chain_match: {
        server_names: [name],
        application_protocols: ['istio-peer-exchange', 'istio', 'istio-http/1.1', 'istio-h2'],
      },
      filters: [tcpProxy(name, name)],
    })),
  };
}
