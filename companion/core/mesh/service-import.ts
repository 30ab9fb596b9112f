import type { KubeObject } from '../../kube/object.ts';
import { bothWays, type Kind } from './indexed-kind.ts';

/** A Service of several clusters, as the Multi-Cluster Services API imports it into this one. */
export type ServiceImportRecord = {
  namespace: string;
  name: string;
  /** The host that istiod adds for it. */
  host: string;
  /** The host of the Service. */
  of: string;
};

/** The domain of hosts of a ClusterSet, the same in every mesh. */
export const clusterSetDomain = 'clusterset.local';

/** The ServiceImports of the cluster, by the name of the Service, `namespace/name`. */
export function createServiceImports(clusterDomain: string) {
  const imports = new Map<string, ServiceImportRecord>();
  const kind: Kind = bothWays(
    (object) => readServiceImport(object, clusterDomain),
    (verb, record: ServiceImportRecord) => {
      const key = `${record.namespace}/${record.name}`;
      if (verb === 'add') imports.set(key, record);
      else imports.delete(key);
    },
  );
  return { imports, kind };
}

/**
 * istiod makes no host of a ServiceImport without addresses
 * (pilot/pkg/serviceregistry/kube/controller/serviceimportcache.go, onServiceImportEvent).
 */
function readServiceImport(
  { metadata, spec = {} }: KubeObject,
  clusterDomain: string,
): ServiceImportRecord[] {
  const { name, namespace = '' } = metadata;
  if (!Array.isArray(spec.ips) || spec.ips.length === 0) return [];
  const service = `${name}.${namespace}.svc`;
  const host = `${service}.${clusterSetDomain}`;
  return [{ namespace, name, host, of: `${service}.${clusterDomain}` }];
}
