/**
 * The protocol of a port, as istiod decides it. `sniffed`: undeclared, Envoy looks at the first
 * bytes.
 */
export type Protocol = 'http' | 'tcp' | 'udp' | 'sniffed';

/** Ports where sniffing would break the application (Istio pkg/config/kube/conversion.go). */
const serverFirstPorts = new Set([25, 53, 3306, 27017]);

const declared: Record<string, Protocol> = {
  http: 'http',
  http2: 'http',
  http_proxy: 'http',
  grpc: 'http',
  'grpc-web': 'http',
  'kubernetes.io/h2c': 'http',
  'kubernetes.io/ws': 'http',
  'kubernetes.io/wss': 'tcp',
  tcp: 'tcp',
  https: 'tcp',
  tls: 'tcp',
  mongo: 'tcp',
  redis: 'tcp',
  mysql: 'tcp',
  udp: 'udp',
};

export type DeclaredPort = {
  port: number;
  name?: string | undefined;
  appProtocol?: string | undefined;
  transport?: string | undefined;
};

/**
 * The protocol of a Service port: transport, then `appProtocol`, then the first word of the name
 * (Istio pkg/config/kube/conversion.go, ConvertProtocol). HTTPS and TLS count as `tcp`: Envoy does
 * not see requests in them.
 */
export function protocolOf({ port, name = '', appProtocol, transport }: DeclaredPort): Protocol {
  if (transport === 'UDP') return 'udp';
  const text = (appProtocol ?? name).toLowerCase();
  if (text.startsWith('kubernetes.io/')) return declared[text] ?? undeclared(port);
  if (text.startsWith('grpc-web')) return 'http';
  const word = text.split('-', 1)[0] ?? '';
  return declared[word] ?? undeclared(port);
}

/**
 * The protocol of a ServiceEntry port, which istiod takes from its `protocol` alone, whatever the
 * name and number of the port (pilot/pkg/serviceregistry/serviceentry/conversion.go, convertPort).
 */
export function entryProtocolOf(protocol = ''): Protocol {
  const text = protocol.toLowerCase();
  return (text.includes('/') ? undefined : declared[text]) ?? 'sniffed';
}

function undeclared(port: number): Protocol {
  return serverFirstPorts.has(port) ? 'tcp' : 'sniffed';
}
