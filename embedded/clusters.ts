import { backendIdentity, gatewayHost, type Placed } from './objects.ts';
import type { Json, ShippedPatches } from './shipped-patches.ts';

/** Clusters of a sidecar, with the names and shapes that istiod gives them. */

const type = (name: string) => `type.googleapis.com/${name}`;

/** The real addresses on this machine. */
export type Ports = {
  gateway: number;
  /** The node companion of this sidecar. */
  node: number;
  /** Simulates kube-proxy: accepts connections to addresses that nothing is bound to. */
  kubeProxy: number;
  /** The backends, in order. */
  backends: readonly number[];
};

/** The files of a sidecar's certificate and of the CA, in Envoy's secret format. */
export type SecretFiles = { certificate: string; ca: string };

export function clusterName(host: string, port: number): string {
  return `outbound|${port}||${host}`;
}

/** The SNI of Istio mTLS, and the name of a cluster in a gateway that passes it through. */
export function sniOf(host: string, port: number): string {
  return `outbound_.${port}_._.${host}`;
}

export function outboundCluster(
  { host, name, namespace, backend }: Placed,
  port: number,
  { backends }: Ports,
  secrets: SecretFiles,
): Json {
  const cluster = clusterName(host, port);
  return {
    name: cluster,
    type: 'STATIC',
    connect_timeout: '10s',
    lb_policy: 'LEAST_REQUEST',
    metadata: {
      filter_metadata: {
        istio: { default_original_port: port, services: [{ host, name, namespace }] },
      },
    },
    load_assignment: {
      cluster_name: cluster,
      endpoints: [
        {
          lb_endpoints: [
            {
              endpoint: { address: loopback(backends[backend] ?? 0) },
              metadata: {
                filter_metadata: { 'envoy.transport_socket_match': { tlsMode: 'istio' } },
              },
            },
          ],
        },
      ],
    },
    transport_socket_matches: [
      {
        name: 'tlsMode-istio',
        match: { tlsMode: 'istio' },
        transport_socket: mutualTls(secrets, ['istio-peer-exchange', 'istio'], {
          sni: sniOf(host, port),
          san: { exact: backendIdentity(backend) },
        }),
      },
      {
        name: 'tlsMode-disabled',
        match: {},
        transport_socket: rawBuffer,
      },
    ],
  };
}

/**
 * The clusters that every sidecar has: Istio's, and those of the shipped patches with the addresses
 * of this machine. If a cluster dials the address that the app dialled, it passes that address to
 * the stand-in for kube-proxy by the PROXY protocol.
 */
export function fixedClusters(patches: ShippedPatches, ports: Ports, secrets: SecretFiles): Json[] {
  const passthrough = { ...toPort('PassthroughCluster', ports.kubeProxy) };
  return [
    { name: 'BlackHoleCluster', type: 'STATIC', connect_timeout: '10s' },
    { ...passthrough, transport_socket: withProxyHeader(rawBuffer) },
    ...patches.clusters.map((shipped) => withLocalPorts(shipped, ports, secrets)),
  ];
}

function withLocalPorts(shipped: Json, ports: Ports, secrets: SecretFiles): Json {
  const { name, cluster_type: _, type: kind, lb_policy: __, ...rest } = shipped;
  const withFiles = rest.transport_socket
    ? { ...rest, transport_socket: withSecretFiles(rest.transport_socket, secrets) as Json }
    : rest;
  if (kind === 'ORIGINAL_DST') {
    const { transport_socket: inner } = withFiles as { transport_socket: Json };
    return {
      ...withFiles,
      ...toPort(String(name), ports.kubeProxy),
      transport_socket: withProxyHeader(inner),
    };
  }
  const isGateway = JSON.stringify(shipped).includes(gatewayHost);
  return { ...withFiles, ...toPort(String(name), isGateway ? ports.gateway : ports.node) };
}

function toPort(name: string, port: number): Json {
  return {
    name,
    type: 'STATIC',
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: loopback(port) } }] }],
    },
  };
}

export function loopback(port: number): Json {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}

const rawBuffer: Json = {
  name: 'envoy.transport_sockets.raw_buffer',
  typed_config: { '@type': type('envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer') },
};

function withProxyHeader(inner: Json): Json {
  return {
    name: 'envoy.transport_sockets.upstream_proxy_protocol',
    typed_config: {
      '@type': type(
        'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport',
      ),
      config: { version: 'V1' },
      transport_socket: inner,
    },
  };
}

function mutualTls(
  secrets: SecretFiles,
  alpn: string[],
  { sni, san }: { sni: string; san: Json },
): Json {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': type('envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext'),
      sni,
      common_tls_context: {
        tls_params: {
          tls_minimum_protocol_version: 'TLSv1_2',
          tls_maximum_protocol_version: 'TLSv1_3',
        },
        alpn_protocols: alpn,
        tls_certificate_sds_secret_configs: [secret('default', secrets.certificate)],
        combined_validation_context: {
          default_validation_context: {
            match_typed_subject_alt_names: [{ san_type: 'URI', matcher: san }],
          },
          validation_context_sds_secret_config: secret('ROOTCA', secrets.ca),
        },
      },
    },
  };
}

function secret(name: string, path: string): Json {
  return { name, sds_config: fileSource(path) };
}

export function fileSource(path: string): Json {
  return { path_config_source: { path }, resource_api_version: 'V3' };
}

/** The same tree, with certificates from files instead of Istio's agent. */
function withSecretFiles(tree: unknown, secrets: SecretFiles): unknown {
  if (Array.isArray(tree)) return tree.map((each) => withSecretFiles(each, secrets));
  if (tree === null || typeof tree !== 'object') return tree;
  const { name, sds_config: source } = tree as Json;
  if (source) return secret(String(name), name === 'ROOTCA' ? secrets.ca : secrets.certificate);
  const entries = Object.entries(tree).map(([key, value]) => [
    key,
    withSecretFiles(value, secrets),
  ]);
  return Object.fromEntries(entries) as Json;
}

/** The two secrets as Envoy resources. */
export function secretResources(
  pair: { certificate: string; key: string },
  ca: string,
): {
  certificate: Json;
  ca: Json;
} {
  const secretType = type('envoy.extensions.transport_sockets.tls.v3.Secret');
  return {
    certificate: {
      '@type': secretType,
      name: 'default',
      tls_certificate: {
        certificate_chain: { inline_string: pair.certificate },
        private_key: { inline_string: pair.key },
      },
    },
    ca: {
      '@type': secretType,
      name: 'ROOTCA',
      validation_context: { trusted_ca: { inline_string: ca } },
    },
  };
}
