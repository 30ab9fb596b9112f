import type { Catalog } from '../mesh/catalog.ts';
import { type BlindCalls, blindHosts } from './blind.ts';
import { limited, messageMax } from './condition.ts';
import {
  besideHttp,
  besideSentinel,
  clusterSetHosts,
  type EagerHost,
  eagerHosts,
  ruledConnections,
} from './eager.ts';
import type { Edge, HostRef } from './edges.ts';
import { aliasHosts, calledHosts, ruleHosts } from './needed.ts';
import { policyHosts } from './policy-hosts.ts';
import { type ProvidersInput, providerHosts } from './providers.ts';
import { type Servers, servedHosts } from './served.ts';
import { unservableHosts, virtualHosts } from './unservable.ts';

/**
 * Why a host is in a scope. `provider`: the proxy calls it by itself, as configuration says;
 * `served`: the workload serves it, and a DestinationRule is for it; `eager`: never called, because
 * its first call could not be served; `alias`: another name of a host that is in the scope.
 */
export type Reason =
  | 'sentinel'
  | 'gateway'
  | 'pinned'
  | 'learned'
  | 'virtualservice'
  | 'provider'
  | 'served'
  | 'eager'
  | 'alias';

/** Whether the host is part of Lazyscope itself: every scope has it, and nothing else needs it. */
export function isOwnReason(reason: string): boolean {
  return reason === 'sentinel' || reason === 'gateway';
}

export type ScopeHost = {
  /** `namespace/host`, an entry of `egress.hosts`. */
  entry: string;
  reason: Reason;
  edge?: Edge;
  /**
   * For an eager host, why its first call could not be served; for a provider, the object that
   * names it; for a host that the workload serves, the DestinationRule.
   */
  message?: string;
};

export type ScopeInput = ProvidersInput &
  Servers & {
    edges: readonly Edge[];
    /** Entries that never leave the scope. */
    pins: readonly string[];
    /** Learned entries that are left out. */
    excludes: readonly string[];
    sentinel: HostRef;
    gateway: HostRef;
    /** A proxy of the workload answers DNS itself. */
    dnsProxy: boolean;
    /** Where the default Sidecar of the namespace sends unknown calls. */
    egressProxy?: { host: string; message: string } | undefined;
    /** Of a namespace without the filter: what becomes of its unknown calls. */
    blind?: BlindCalls | undefined;
  };

/**
 * The hosts of a workload's scope, sorted and without duplicates; of several reasons the strongest
 * is kept (the order of `Reason`). istiod itself imports the hosts that a VirtualService routes to
 * (pilot/pkg/model/sidecar.go, collectImportedServices).
 */
export function scopeOf(catalog: Catalog, input: ScopeInput): ScopeHost[] {
  const { namespace, edges, pins, sentinel, gateway } = input;
  const excludes = new Set(input.excludes);
  const hosts = new Map<string, ScopeHost>();
  function add(
    entry: string,
    reason: Reason,
    more: Pick<ScopeHost, 'edge' | 'message'> = {},
  ): void {
    const message = more.message && { message: limited(more.message, messageMax) };
    if (!hosts.has(entry)) hosts.set(entry, { entry, reason, ...more, ...message });
  }

  add(entryOf(sentinel), 'sentinel');
  add(entryOf(gateway), 'gateway');
  for (const pin of pins) add(pin, 'pinned');
  const addNeeded = (needed: Iterable<HostRef>, reason: Reason) => {
    for (const host of needed) if (!excludes.has(entryOf(host))) add(entryOf(host), reason);
  };
  const addEager = (eager: Iterable<EagerHost>, reason: Reason = 'eager') => {
    for (const { entry, message } of eager)
      if (!excludes.has(entry)) add(entry, reason, { message });
  };
  const learned = edges.filter((edge) => !excludes.has(entryOf(edge)));
  for (const edge of learned) add(entryOf(edge), 'learned', { edge });
  for (const edge of learned) addNeeded(calledHosts(catalog, edge, namespace), 'virtualservice');
  addEager(providerHosts(catalog, input), 'provider');
  addEager(servedHosts(catalog, input), 'served');
  addEager(egressProxyHosts(catalog, input));
  addEager(ruledConnections(catalog, namespace));
  addEager(unservableHosts(catalog, input));
  addEager(eagerHosts(catalog, namespace, input.dnsProxy));
  addEager(clusterSetHosts(catalog, namespace));
  const { blind } = input;
  if (blind) addEager(blindHosts(catalog, { ...input, blind }));
  addEager(besideSentinel(catalog, namespace, entryOf(sentinel)));
  const others = [...hosts.keys()].filter((entry) => entry !== entryOf(sentinel));
  addEager(besideHttp(catalog, namespace, others));
  // A Map iterates over entries that are added during the iteration, so rules on an alias are
  // found, too.
  for (const entry of hosts.keys()) {
    addNeeded(ruleHosts(catalog, entry, namespace), 'virtualservice');
    addNeeded(aliasHosts(catalog, entry), 'alias');
  }
  addEager(virtualHosts(catalog, namespace));
  addEager(policyHosts(catalog, [...hosts.keys()], input));
  if ([...hosts.keys()].some((entry) => isInParts(catalog, entry)))
    add(scanEntry(sentinel), 'sentinel');
  return [...hosts.values()].sort((a, b) => (a.entry < b.entry ? -1 : 1));
}

export function entryOf({ namespace, host }: HostRef): string {
  return `${namespace}/${host}`;
}

/**
 * If several ServiceEntries declare one host in one namespace, a listener with exact hosts has only
 * the oldest (pilot/pkg/model/sidecar.go, servicesForExactHosts); a listener with any wildcard has
 * them all.
 */
function scanEntry({ namespace, host }: HostRef): string {
  return `${namespace}/*${host.slice(host.indexOf('.'))}`;
}

function isInParts(catalog: Catalog, entry: string): boolean {
  const [namespace, host = ''] = entry.split('/');
  const records = catalog.hosts.exact(host);
  return records.length > 1 && records.filter((each) => each.namespace === namespace).length > 1;
}

/** Without its cluster every unknown call would fail. */
function* egressProxyHosts(
  catalog: Catalog,
  { namespace, egressProxy }: ScopeInput,
): Generator<EagerHost> {
  if (!egressProxy) return;
  for (const record of catalog.hosts.exact(egressProxy.host)) {
    if (catalog.isVisible(record, namespace))
      yield { entry: entryOf(record), message: egressProxy.message };
  }
}
