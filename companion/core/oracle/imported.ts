import { isWildcard, matchesHost } from '../mesh/host-pattern.ts';
import { sentinelHost } from '../scope/sentinel.ts';
import { at, type ConfigDump, clustersOf, objectsIn } from './config-dump.ts';

/** What the Sidecar of a narrowed proxy imports. */
export type Imported = {
  /** `namespace/host`, as in `egress.hosts` of a listener without a port. */
  entries: readonly string[];
  /**
   * Addresses of Services that are imported. A listener at one of them is theirs, although its
   * chains may lead to other hosts by rules of a VirtualService.
   */
  addresses?: readonly string[];
};

export type IsImported = (hosts: readonly string[]) => boolean;

/** Whether a part that is for these hosts and addresses has to be there. */
export function importedIn(full: ConfigDump, { entries, addresses = [] }: Imported): IsImported {
  const owners = ownersIn(full);
  const own = new Set(addresses);
  const pairs = entries.map((entry) => {
    const slash = entry.indexOf('/');
    return [entry.slice(0, slash), entry.slice(slash + 1)] as const;
  });
  const exact = new Set(pairs.map(([, host]) => host).filter((host) => !isWildcard(host)));
  const wildcards = pairs.filter(([, host]) => isWildcard(host));
  const isNamed = (host: string) => {
    // Every scope imports it; which ports it has is for the whole mesh to say.
    if (host === sentinelHost) return false;
    if (exact.has(host) || own.has(host)) return true;
    return wildcards.some(([namespace, pattern]) => {
      if (!matchesHost(pattern, host)) return false;
      const namespaces = owners.get(host);
      if (namespace === '*') return true;
      return namespaces ? namespaces.has(namespace) : pattern !== '*';
    });
  };
  return (hosts) => hosts.length === 0 || hosts.some(isNamed);
}

/** Namespaces of the hosts that have clusters: istiod notes them there for metrics. */
function ownersIn(dump: ConfigDump): Map<string, Set<string>> {
  const owners = new Map<string, Set<string>>();
  for (const cluster of clustersOf(dump))
    for (const { host, namespace } of objectsIn(
      at(cluster, 'metadata', 'filter_metadata', 'istio', 'services'),
    )) {
      const found = owners.get(String(host)) ?? new Set();
      owners.set(String(host), found.add(String(namespace)));
    }
  return owners;
}
