import type { KubeObject } from '../../kube/object.ts';
import type { HostRecord } from '../mesh/records.ts';
import { managedBy } from './sidecar.ts';

/**
 * The sentinel: a ServiceEntry without endpoints that every scope imports, so that each HTTP port
 * of the mesh keeps its `0.0.0.0_PORT` listener. Without it an unknown call on that port would be
 * bytes to the proxy, and no HTTP filter would see it.
 */
export const sentinelHost = 'http-ports.lazyscope.internal';
const sentinelName = 'lazyscope-http-ports';

/** Ports that the proxy itself listens on (Istio "Ports used by Istio", sidecar). */
const proxyPorts = new Set([15000, 15001, 15006, 15008, 15009, 15020, 15021, 15053, 15090]);
/** Ports of istiod without TLS (Istio "Ports used by Istio", control plane). */
const istiodPorts = new Set([15010, 15014]);

/** The namespaces of Lazyscope and of istiod. */
export type SystemNamespaces = { namespace: string; rootNamespace: string };

/**
 * Ports on which a Service or ServiceEntry speaks HTTP, declared or sniffed, except those that any
 * of them declares as TCP: a listener that detects HTTP would delay a server-first protocol. That
 * is istiod's own rule (see `protocolOf`). Never empty, because a ServiceEntry needs a port. Ports
 * that only Lazyscope or istiod has are left out: no app speaks HTTP to them, and each listener
 * costs every proxy about 60 KB. A call to such a port is served as TCP until its host is learned.
 */
export function sentinelPorts(
  records: Iterable<HostRecord>,
  { namespace: ours, rootNamespace }: SystemNamespaces,
): number[] {
  const http = new Set<number>([80]);
  const tcp = new Set<number>();
  for (const { namespace, ports } of records) {
    if (namespace === ours) continue;
    for (const { port, protocol } of ports) {
      if (namespace === rootNamespace && istiodPorts.has(port)) continue;
      if (protocol === 'tcp') tcp.add(port);
      else if (protocol !== 'udp') http.add(port);
    }
  }
  const ports = [...http].filter((port) => !tcp.has(port) && !proxyPorts.has(port));
  return ports.length > 0 ? ports.sort((a, b) => a - b) : [80];
}

export function sentinelOf(ports: readonly number[], namespace: string): KubeObject {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: sentinelName, namespace, labels: { ...managedBy } },
    spec: {
      hosts: [sentinelHost],
      location: 'MESH_EXTERNAL',
      resolution: 'NONE',
      exportTo: ['*'],
      ports: ports.map((number) => ({ number, name: `http-${number}`, protocol: 'HTTP' })),
    },
  };
}
