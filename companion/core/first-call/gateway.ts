import type { Catalog } from '../mesh/catalog.ts';
import { isWildcard } from '../mesh/host-pattern.ts';
import type { PodRecord } from '../mesh/pod-record.ts';
import type { HostRecord } from '../mesh/records.ts';
import { defaultRevision } from '../mesh/revision.ts';
import { type MeshNames, mtlsOf } from './mtls.ts';

/**
 * Whether the lazy egress gateway, a Service at `host`, has a way to a port of a host for a
 * caller's mutual TLS. istiod gives a gateway what is exported to its namespace and known to its
 * revision, the first record of each host (pilot/pkg/model/sidecar.go,
 * DefaultSidecarScopeForGateway), nothing outside of the mesh (gateway.go,
 * builtAutoPassthroughFilterChains), and of the endpoints those that take mutual TLS by the rules
 * that hold in the gateway's namespace; of a node-local Service, those on the gateway's node.
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
    // Of what this cluster does not have, nobody here knows who sees it.
    const seen = others.filter(
      (each) => each.isFar || catalog.isVisibleUnder(each, gateway.namespace, revision),
    );
    // Which of several namespaces it would choose is not worth finding out.
    if (!seen.includes(record) || seen.some(({ namespace }) => namespace !== record.namespace)) {
      return false;
    }
  }
  const client = { namespace: gateway.namespace, labels: pods[0]?.labels ?? {} };
  const { speech } = mtlsOf(catalog, { record, port }, client, names);
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
