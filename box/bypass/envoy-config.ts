import { addresses } from './pods.ts';

type Json = { [key: string]: unknown };

/**
 * The protocol of an application port between sidecars, and the address of the application.
 */
export type Service = { port: number; local: number; kind: 'http' | 'http2' | 'tcp' };
export type Certificates = { ca: string; certificate: string; key: string };

/** The mark by which the redirection tells packets of a sidecar from those of its application. */
export const sidecarMark = 1337;

const type = (name: string) => `type.googleapis.com/${name}`;
const address = (host: string, port: number): Json => ({
  socket_address: { address: host, port_value: port },
});

/**
 * A minimal Istio sidecar: outbound on port 15001, inbound on 15006, mutual TLS between sidecars.
 */
export function sidecarConfig(services: Service[], certificates: Certificates): Json {
  return {
    admin: { address: address('127.0.0.1', 15000) },
    static_resources: {
      listeners: [outbound(services), inbound(services, certificates)],
      clusters: services.flatMap((service) => [
        outboundCluster(service, certificates),
        inboundCluster(service),
      ]),
    },
  };
}

const originalDestination: Json = {
  name: 'envoy.filters.listener.original_dst',
  typed_config: {
    '@type': type('envoy.extensions.filters.listener.original_dst.v3.OriginalDst'),
  },
};

/** Peeks at the first bytes, as Istio's inbound listener does. */
const tlsInspector: Json = {
  name: 'envoy.filters.listener.tls_inspector',
  typed_config: {
    '@type': type('envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector'),
  },
};

function outbound(services: Service[]): Json {
  return {
    name: 'outbound',
    address: address('0.0.0.0', 15001),
    listener_filters: [originalDestination],
    filter_chains: services.map((service) => ({
      filter_chain_match: { destination_port: service.port },
      filters: [proxyFilter(service, `outbound-${service.port}`)],
    })),
  };
}

function inbound(services: Service[], certificates: Certificates): Json {
  return {
    name: 'inbound',
    address: address('0.0.0.0', 15006),
    listener_filters: [originalDestination, tlsInspector],
    filter_chains: services.map((service) => ({
      filter_chain_match: { destination_port: service.port, transport_protocol: 'tls' },
      transport_socket: {
        name: 'tls',
        typed_config: {
          '@type': type('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext'),
          require_client_certificate: true,
          common_tls_context: tlsContext(service, certificates),
        },
      },
      filters: [proxyFilter(service, `inbound-${service.port}`)],
    })),
  };
}

function tlsContext(service: Service, { ca, certificate, key }: Certificates): Json {
  return {
    tls_certificates: [
      { certificate_chain: { filename: certificate }, private_key: { filename: key } },
    ],
    validation_context: { trusted_ca: { filename: ca } },
    ...(service.kind === 'http2' ? { alpn_protocols: ['h2'] } : {}),
  };
}

function proxyFilter({ kind }: Service, cluster: string): Json {
  if (kind === 'tcp')
    return {
      name: 'tcp',
      typed_config: {
        '@type': type('envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'),
        stat_prefix: 'tcp',
        cluster,
      },
    };
  const router = {
    name: 'router',
    typed_config: { '@type': type('envoy.extensions.filters.http.router.v3.Router') },
  };
  const route = { match: { prefix: '/' }, route: { cluster, timeout: '0s' } };
  return {
    name: 'http',
    typed_config: {
      '@type': type(
        'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
      ),
      stat_prefix: 'http',
      upgrade_configs: [{ upgrade_type: 'websocket' }],
      http_filters: [router],
      route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route] }] },
    },
  };
}

const http2: Json = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': type('envoy.extensions.upstreams.http.v3.HttpProtocolOptions'),
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
};

function cluster(name: string, host: string, port: number, { kind }: Service): Json {
  return {
    name,
    type: 'STATIC',
    connect_timeout: '2s',
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(host, port) } }] }],
    },
    ...(kind === 'http2' ? http2 : {}),
  };
}

function outboundCluster(service: Service, certificates: Certificates): Json {
  return {
    ...cluster(`outbound-${service.port}`, addresses[1], service.port, service),
    upstream_bind_config: {
      source_address: { address: '0.0.0.0', port_value: 0 },
      // SOL_SOCKET, SO_MARK.
      socket_options: [{ level: 1, name: 36, int_value: sidecarMark, state: 'STATE_PREBIND' }],
    },
    transport_socket: {
      name: 'tls',
      typed_config: {
        '@type': type('envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext'),
        common_tls_context: tlsContext(service, certificates),
      },
    },
  };
}

/** From 127.0.0.6, the address that Istio's redirection leaves alone. */
function inboundCluster(service: Service): Json {
  return {
    ...cluster(`inbound-${service.port}`, '127.0.0.1', service.local, service),
    upstream_bind_config: { source_address: { address: '127.0.0.6', port_value: 0 } },
  };
}
