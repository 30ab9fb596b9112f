import type { Catalog } from '../mesh/catalog.ts';
import { virtualServicesOf } from '../mesh/host-lookup.ts';
import { isWildcard } from '../mesh/host-pattern.ts';
import { besideHttp, eagerHosts } from './eager.ts';
import type { Edge, HostRef } from './edges.ts';

/** Why a host is in a scope. `eager`: never called, because its first call could not be served. */
export type Reason = 'sentinel' | 'gateway' | 'pinned' | 'learned' | 'virtualservice' | 'eager';

export type ScopeHost = {
  /** `namespace/host`, an entry of `egress.hosts`. */
  entry: string;
  reason: Reason;
  edge?: Edge;
  /** Of an eager host, why it cannot wait for its first call. */
  message?: string;
};

export type ScopeInput = {
  namespace: string;
  edges: readonly Edge[];
  /** Entries that never leave the scope. */
  pins: readonly string[];
  /** Learned entries that are left out. */
  excludes: readonly string[];
  sentinel: HostRef;
  gateway: HostRef;
  /** A proxy of the workload answers DNS by itself. */
  dnsProxy: boolean;
};

/**
 * The hosts that a workload's sidecar carries, sorted and each once; of several reasons the
 * strongest is kept (the order of `Reason`). A VirtualService applies only where its own namespace
 * is imported with its host; what it routes to, istiod imports by itself (pilot/pkg/model/sidecar.go,
 * collectImportedServices).
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
    if (!hosts.has(entry)) hosts.set(entry, { entry, reason, ...more });
  }

  add(entryOf(sentinel), 'sentinel');
  add(entryOf(gateway), 'gateway');
  for (const pin of pins) add(pin, 'pinned');
  const learned = edges.filter((edge) => !excludes.has(entryOf(edge)));
  for (const edge of learned) add(entryOf(edge), 'learned', { edge });
  for (const edge of learned) {
    for (const needed of virtualServiceHosts(catalog, edge, namespace)) {
      if (!excludes.has(entryOf(needed))) add(entryOf(needed), 'virtualservice');
    }
  }
  for (const { entry, message } of eagerHosts(catalog, namespace, input.dnsProxy)) {
    if (!excludes.has(entry)) add(entry, 'eager', { message });
  }
  // The sentinel leaves such ports out by itself.
  const others = [...hosts.keys()].filter((entry) => entry !== entryOf(sentinel));
  for (const { entry, message } of besideHttp(catalog, namespace, others)) {
    if (!excludes.has(entry)) add(entry, 'eager', { message });
  }
  return [...hosts.values()].sort((a, b) => (a.entry < b.entry ? -1 : 1));
}

export function entryOf({ namespace, host }: HostRef): string {
  return `${namespace}/${host}`;
}

/**
 * What has to be imported for the rules on a destination to hold: each VirtualService that rules
 * over it, in its own namespace; and for one that routes to it, also the hosts that it is called
 * by, because Envoy tells of the destination only.
 */
function* virtualServiceHosts(
  catalog: Catalog,
  { host }: HostRef,
  namespace: string,
): Generator<HostRef> {
  for (const rule of virtualServicesOf(catalog, host, namespace)) {
    yield { namespace: rule.namespace, host };
  }
  for (const rule of catalog.virtualServicesTo(host)) {
    if (!catalog.isVisible(rule, namespace)) continue;
    for (const called of rule.hosts) {
      if (isWildcard(called)) continue;
      yield { namespace: rule.namespace, host: called };
      for (const record of catalog.hosts.exact(called)) {
        if (catalog.isVisible(record, namespace))
          yield { namespace: record.namespace, host: called };
      }
    }
  }
}
