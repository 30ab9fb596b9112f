import { createDerivedTable } from './derived-table.ts';
import { type Derivation, readBackendTls, readRoute, type Target } from './gateway-route.ts';
import { createHostIndex, type HostIndex } from './host-pattern.ts';
import { bothWays, type Kind } from './indexed-kind.ts';
import { createMultimap } from './multimap.ts';
import type { HostRecord, Visible } from './records.ts';
import {
  type DestinationRuleRecord,
  readDestinationRule,
  readVirtualService,
  type VirtualServiceRecord,
} from './rules.ts';

/** Rules on hosts, of Istio and of the Gateway API. */
export type RuleTable = {
  kinds: Record<string, Kind>;
  virtualServices: HostIndex<VirtualServiceRecord>;
  /** VirtualServices that route to a host, by themselves or by a delegate. */
  virtualServicesTo(host: string): VirtualServiceRecord[];
  /** VirtualServices with rules for connections, in no order. */
  connectionRules(): Iterable<VirtualServiceRecord>;
  destinationRules: HostIndex<DestinationRuleRecord>;
  /** Whether routes or policies of the Gateway API are for a Service or ServiceEntry. */
  isTarget(target: Target): boolean;
  /** Must be called when a Service or ServiceEntry came, changed or went. */
  targetChanged(target: Target): void;
  sizes(): Record<string, number>;
};

type Verb = 'add' | 'remove';

export function createRuleTable(options: {
  clusterDomain: string;
  hostsOf(target: Target): readonly HostRecord[];
  isVisible(object: Visible, from: string): boolean;
}): RuleTable {
  const { clusterDomain, hostsOf, isVisible } = options;
  const virtualServices = createHostIndex<VirtualServiceRecord>();
  const virtualServicesTo = createMultimap<VirtualServiceRecord>();
  const byDelegate = createMultimap<VirtualServiceRecord>();
  const connectionRules = new Set<VirtualServiceRecord>();
  const destinationRules = createHostIndex<DestinationRuleRecord>();

  function virtualService(verb: Verb, record: VirtualServiceRecord): void {
    for (const host of record.hosts) virtualServices[verb](host, record);
    for (const host of record.destinations) virtualServicesTo[verb](host, record);
    for (const delegate of record.delegates) byDelegate[verb](delegate, record);
    if (record.rulesConnections) connectionRules[verb === 'add' ? 'add' : 'delete'](record);
  }

  function destinationRule(verb: Verb, record: DestinationRuleRecord): void {
    destinationRules[verb](record.host, record);
  }

  const derived = createDerivedTable({ hostsOf, virtualService, destinationRule });
  const derive = (verb: Verb, record: Derivation) => derived[verb](record);
  const route = bothWays((object) => readRoute(object, clusterDomain) ?? [], derive);

  return {
    kinds: {
      VirtualService: bothWays(
        (object) => readVirtualService(object, clusterDomain) ?? [],
        virtualService,
      ),
      DestinationRule: bothWays(
        (object) => [readDestinationRule(object, clusterDomain)],
        destinationRule,
      ),
      HTTPRoute: route,
      GRPCRoute: route,
      TLSRoute: route,
      TCPRoute: route,
      BackendTLSPolicy: bothWays((object) => readBackendTls(object) ?? [], derive),
    },
    virtualServices,
    // A delegate has to be visible to the one that delegates to it
    // (pilot/pkg/model/virtualservice.go, mergeVirtualServicesIfNeeded).
    virtualServicesTo: (host) =>
      virtualServicesTo.get(host).flatMap((rule) => {
        if (rule.hosts.length > 0) return rule;
        const roots = byDelegate.get(`${rule.namespace}/${rule.name}`);
        return roots.filter((root) => isVisible(rule, root.namespace));
      }),
    connectionRules: () => connectionRules,
    destinationRules,
    isTarget: derived.isTarget,
    targetChanged: derived.targetChanged,
    sizes: () => ({
      virtualServices: count(virtualServices),
      virtualServicesTo: virtualServicesTo.size(),
      delegates: byDelegate.size(),
      connectionRules: connectionRules.size,
      destinationRules: count(destinationRules),
      derived: derived.size(),
    }),
  };
}

function count(index: HostIndex<unknown>): number {
  return [...index.patterns()].length;
}
