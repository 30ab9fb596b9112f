import type { Catalog } from '../mesh/catalog.ts';
import { isWildcard } from '../mesh/host-pattern.ts';
import { selects } from '../mesh/label-selector.ts';
import type { HostRecord } from '../mesh/records.ts';
import type { EagerHost } from './eager.ts';

export type Servers = {
  namespace: string;
  /** Of each pod of the workload. */
  labels: readonly Readonly<Record<string, string>>[];
  /** Addresses of the pods of the workload. */
  ips: readonly string[];
};

/**
 * Hosts that a workload serves and that a DestinationRule is for. istiod takes limits and idle
 * times of inbound connections from the rule of the host, too, and finds the rule only if the scope
 * has the host (pilot/pkg/networking/core/cluster_builder.go, buildInboundCluster).
 */
export function* servedHosts(catalog: Catalog, workload: Servers): Generator<EagerHost> {
  const { namespace } = workload;
  for (const record of recordsOf(catalog, workload)) {
    if (!catalog.isVisible(record, namespace)) continue;
    const rule = catalog.destinationRules
      .all(record.host)
      .find((each) => each.policy && catalog.isVisible(each, namespace));
    if (!rule) continue;
    const message = `DestinationRule ${rule.namespace}/${rule.name} is also for connections to this workload`;
    yield { entry: `${record.namespace}/${record.host}`, message };
  }
}

/**
 * By endpoints, and by selector where a rule names the host: pods that start have no address yet,
 * and the host must not leave the scope and come back.
 */
function recordsOf(catalog: Catalog, { namespace, labels, ips }: Servers): Set<HostRecord> {
  const patterns = [...catalog.destinationRules.patterns()];
  if (patterns.length === 0) return new Set();
  const own = new Set(ips);
  const isServed = ({ servers, selector, namespace: owner }: HostRecord) =>
    servers.some(({ address }) => own.has(address)) ||
    (selector && owner === namespace && labels.some((each) => selects(selector, each)));
  const named = patterns.flatMap(catalog.hosts.exact);
  const entries = patterns.some(isWildcard) ? catalog.entries() : [];
  return new Set([
    ...ips.flatMap((ip) => catalog.servicesOfEndpoint(ip)),
    ...[...named, ...entries].filter(isServed),
  ]);
}
