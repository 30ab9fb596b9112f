import type { Catalog } from '../mesh/catalog.ts';
import { isWildcard } from '../mesh/host-pattern.ts';
import type { PodRecord } from '../mesh/pod-record.ts';
import type { HostRecord } from '../mesh/records.ts';
import { defaultRevision } from '../mesh/revision.ts';
import { type MeshNames, mtlsOf, serversViewOf } from './mtls.ts';

/**
 * Whether the lazy egress gateway, a Service at `host`, can carry a caller's mutual TLS to a port
 * of another host. istiod configures a gateway as follows:
 *  - hosts that are exported to the gateway's namespace and known to its revision, each by its
 *    first record (pilot/pkg/model/sidecar.go, DefaultSidecarScopeForGateway);
 *  - no host outside of the mesh (gateway.go, builtAutoPassthroughFilterChains);
 *  - endpoints that accept mutual TLS by the rules for the gateway's namespace; for a node-local
 *    Service, only the endpoints on the gateway's node.
 */
export function isCarried(
  catalog: Catalog,
  { record, port }: { record: HostRecord; port: number },
  host: string,
  names: MeshNames,
): boolean {
  const [gateway] = catalog.hosts.exact(host);
  if (!gateway || record.external || record.nodeLocal || isWildcard(record.host)) return false;
  const pods = podsOf(catalog, gateway);
  const revisions = new Set(pods.map(({ revision }) => revision));
  if (revisions.size === 0) revisions.add(defaultRevision);
  const others = catalog.hosts.exact(record.host).filter(({ isFar }) => isFar === record.isFar);
  for (const revision of revisions) {
    // This cluster does not know the visibility of a host in another cluster: assume it is visible.
    const seen = others.filter(
      (each) => each.isFar || catalog.isVisibleUnder(each, gateway.namespace, revision),
    );
    // If several namespaces have the host, do not work out which of them istiod would choose.
    if (!seen.includes(record) || seen.some(({ namespace }) => namespace !== record.namespace)) {
      return false;
    }
  }
  const client = { namespace: gateway.namespace, labels: pods[0]?.labels ?? {} };
  const { speech } = mtlsOf(serversViewOf(catalog, names), { record, port }, client);
  return speech === 'mtls' || speech === 'mixed' || speech === 'nobody';
}

function podsOf(catalog: Catalog, gateway: HostRecord): PodRecord[] {
  return [...catalog.slicesOf(gateway)].flatMap(({ endpoints }) =>
    endpoints.flatMap(({ ip, pod }) => {
      const [namespace = '', name = ''] = pod?.split('/') ?? [];
      return (pod ? catalog.pod(namespace, name) : catalog.podAt(ip)) ?? [];
    }),
  );
}
