import { type Json, type } from '../../box/envoy/bootstrap.ts';

/** The parts of an Envoy bootstrap that a sidecar with the access log of Lazyscope has. */

export const address = (port: number): Json => ({
  socket_address: { address: '127.0.0.1', port_value: port },
});

/** As istiod writes it for the providers `envoyHttpAls` and `envoyTcpAls`. */
export function accessLog(kind: 'http' | 'tcp'): Json {
  const config = kind === 'http' ? 'HttpGrpcAccessLogConfig' : 'TcpGrpcAccessLogConfig';
  return {
    name: `envoy.access_loggers.${kind}_grpc`,
    typed_config: {
      '@type': type(`envoy.extensions.access_loggers.grpc.v3.${config}`),
      common_config: {
        log_name: 'lazyscope',
        transport_api_version: 'V3',
        grpc_service: { envoy_grpc: { cluster_name: 'lazyscope-als' } },
      },
    },
  };
}

export function logCluster(port: number, healthInterval = '0.2s'): Json {
  return {
    name: 'lazyscope-als',
    type: 'STATIC',
    connect_timeout: '1s',
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': type('envoy.extensions.upstreams.http.v3.HttpProtocolOptions'),
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
    health_checks: [
      {
        ...{ timeout: '2s', interval: healthInterval, no_traffic_interval: healthInterval },
        ...{ unhealthy_threshold: 3, healthy_threshold: 1, grpc_health_check: {} },
      },
    ],
    load_assignment: {
      cluster_name: 'lazyscope-als',
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }],
    },
  };
}

const listener = (name: string, filters: Json[]): Json => ({
  ...{ name, address: address(0), traffic_direction: 'OUTBOUND' },
  filter_chains: [{ filters }],
});

export function loggedHttp(name: string, routes: Json[]): Json {
  return listener(name, [
    {
      name: 'envoy.filters.network.http_connection_manager',
      typed_config: {
        '@type': type(
          'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
        ),
        stat_prefix: name,
        upgrade_configs: [{ upgrade_type: 'websocket' }],
        access_log: [accessLog('http')],
        access_log_options: { access_log_flush_interval: '0.5s' },
        route_config: {
          validate_clusters: false,
          virtual_hosts: [{ name: 'all', domains: ['*'], routes }],
        },
        http_filters: [
          {
            name: 'envoy.filters.http.router',
            typed_config: { '@type': type('envoy.extensions.filters.http.router.v3.Router') },
          },
        ],
      },
    },
  ]);
}

export function loggedTcp(name: string, cluster: string): Json {
  return listener(name, [
    {
      name: 'envoy.filters.network.tcp_proxy',
      typed_config: {
        '@type': type('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'),
        ...{ stat_prefix: name, cluster, access_log: [accessLog('tcp')] },
        access_log_options: {
          ...{ access_log_flush_interval: '0.5s', flush_access_log_on_connected: true },
        },
      },
    },
  ]);
}
