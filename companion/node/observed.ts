import type { ReportedEdge } from '../contract/rpc.ts';
import type { ProxyStats } from '../core/scope/proxies.ts';
import type { LearningSource } from '../core/scope/source.ts';
import type { NodeMetrics } from './metrics.ts';
import type { Pod } from './pods.ts';

/** What a companion remembers of its proxies, and what goes when a table is full. */

export type EdgeName = Pick<ReportedEdge, 'cluster' | 'unknown'>;

type UsedDestination = {
  edge: EdgeName;
  count: number;
  /** What of `count` an earlier life of this process had already counted. */
  inherited: number;
  seenAt: number;
  changedAt: number;
};

export type Vm = {
  heardAt: number;
  /** An earlier life of this process heard its first reports, and counted what they say. */
  isInherited: boolean;
  sequence: number;
  overflow: number;
  counts: Map<string, number>;
};

/** What is known of the access log of a proxy. */
export type HeardLog = {
  /** The last entry, stream or health check. */
  heardAt: number;
  /** Since when no entry was lost, as far as can be known. */
  unbrokenSince: number;
  /** Open streams, on connections that answer. */
  streams: number;
  /** Entries that Envoy itself has dropped, if its statistics say so. */
  dropped: number;
};

export type ObservedProxy = {
  readonly pod: Pod;
  filterVersion: string;
  /** Undefined while no filter of this proxy has reported. */
  heardAt: number | undefined;
  /** Undefined while no access log of this proxy was heard of. */
  log: HeardLog | undefined;
  overflow: number;
  /** The figures that were read from the proxy, and when. */
  stats: (ProxyStats & { at: number }) | undefined;
  /** Grows with every change, so that a reader can ask for the changes since a version. */
  version: number;
  /** The least recently changed destination comes first. */
  readonly destinations: Map<string, UsedDestination>;
  /** Those that met no route, in the same order: mostly hosts outside the mesh. */
  readonly unknown: Set<string>;
  /** The VM that has been silent longest comes first. */
  readonly vms: Map<bigint, Vm>;
  /** Counters in all its VMs. */
  counters: number;
};

export type AggregateBounds = {
  /** A filter's table is smaller, and the VMs of a proxy use mostly the same destinations. */
  destinationsPerProxy: number;
  /** Two VMs for each of 16 workers, and as many again while an update of the filter drains. */
  vmsPerProxy: number;
  /** 110 pods of 4 VMs with 500 destinations each; about 50 bytes a counter: 12 MB. */
  counters: number;
  /** Longest accepted name or authority, in characters; Istio's cluster names stay below 350. */
  nameLength: number;
  /**
   * A destination that was used this long ago is on its way to every controller: reports leave
   * within 2 s, and a stream that takes none for 30 s is closed, after which all is sent.
   */
  reportedMs: number;
  /** A filter reports every 30 s, so a filter that was silent this long is gone. */
  vmSilenceMs: number;
};

export const aggregateBounds: AggregateBounds = {
  destinationsPerProxy: 1024,
  vmsPerProxy: 64,
  counters: 250_000,
  nameLength: 512,
  reportedMs: 60_000,
  vmSilenceMs: 600_000,
};

export type Records = {
  metrics: NodeMetrics;
  now: () => number;
  /** The source in force for a pod; undefined: unknown, so either one counts. */
  sourceOf(pod: Pod): LearningSource | undefined;
  bounds: AggregateBounds;
  proxies: Map<string, ObservedProxy>;
  /** Counters in all VMs of all proxies. */
  counters: number;
};

export function proxyOf({ proxies, metrics }: Records, pod: Pod): ObservedProxy {
  const known = proxies.get(pod.uid);
  if (known) return known;
  const proxy: ObservedProxy = {
    pod,
    filterVersion: '',
    heardAt: undefined,
    log: undefined,
    overflow: 0,
    stats: undefined,
    version: 0,
    destinations: new Map(),
    unknown: new Set(),
    vms: new Map(),
    counters: 0,
  };
  proxies.set(pod.uid, proxy);
  metrics.proxies.set(proxies.size);
  return proxy;
}

/**
 * A destination was used, for which there is room; `more` calls are added to its count. True when
 * the proxy had not used it before.
 */
export function useDestination(
  proxy: ObservedProxy,
  { key, edge, more, inherited }: { key: string; edge: EdgeName; more: number; inherited: number },
  at: number,
): boolean {
  const known = proxy.destinations.get(key);
  const destination = known ?? { edge, count: 0, inherited: 0, seenAt: at, changedAt: 0 };
  destination.count = Math.min(destination.count + more, Number.MAX_SAFE_INTEGER);
  destination.inherited += inherited;
  destination.seenAt = at;
  proxy.version += 1;
  destination.changedAt = proxy.version;
  proxy.destinations.delete(key);
  proxy.destinations.set(key, destination);
  if (edge.unknown) {
    proxy.unknown.delete(key);
    proxy.unknown.add(key);
  }
  return !known;
}

/** The sums keep the counts of a dropped VM. If it reports again, they are added twice. */
export function dropSilentVms(state: Records, proxy: ObservedProxy, at: number): void {
  const { bounds, metrics } = state;
  for (const [epoch, vm] of proxy.vms) {
    const tooMany = proxy.vms.size > bounds.vmsPerProxy;
    if (!tooMany && at - vm.heardAt < bounds.vmSilenceMs) return;
    if (tooMany) metrics.evicted.inc({ table: 'vms' });
    dropVm(state, proxy, epoch);
  }
}

export function dropVm(state: Records, proxy: ObservedProxy, epoch: bigint): void {
  addCounters(state, proxy, -(proxy.vms.get(epoch)?.counts.size ?? 0));
  proxy.vms.delete(epoch);
}

export function addCounters(state: Records, proxy: ObservedProxy, more: number): void {
  state.counters += more;
  proxy.counters += more;
}

/** Makes room for a new destination; false if there is no room. */
export function makeRoom(
  state: Records,
  proxy: ObservedProxy,
  key: string,
  { isNew, at }: { isNew: boolean; at: number },
): boolean {
  const { bounds, metrics } = state;
  if (isNew && (key.length > bounds.nameLength + addressLength || !printable.test(key))) {
    metrics.evicted.inc({ table: 'names' });
    proxy.overflow += 1;
    return false;
  }
  if (isNew && state.counters >= bounds.counters && !takeCounters(state, proxy)) return false;
  if (proxy.destinations.has(key) || proxy.destinations.size < bounds.destinationsPerProxy)
    return true;
  evictDestination(state, proxy, at);
  return true;
}

/**
 * The oldest one that met no route goes, which no scope could have imported, else the oldest. What
 * was reported is known to the controllers, and is new again with its next use, so its eviction
 * loses nothing.
 */
function evictDestination(state: Records, proxy: ObservedProxy, at: number): void {
  const { bounds, metrics } = state;
  const { destinations, unknown, vms } = proxy;
  const [oldest = ''] = unknown.size > 0 ? unknown : destinations.keys();
  const isReported = at - (destinations.get(oldest)?.seenAt ?? at) >= bounds.reportedMs;
  destinations.delete(oldest);
  unknown.delete(oldest);
  for (const vm of vms.values()) if (vm.counts.delete(oldest)) addCounters(state, proxy, -1);
  metrics.evicted.inc({ table: isReported ? 'reported' : 'destinations' });
  if (!isReported) proxy.overflow += 1;
}

/**
 * Makes room in the table that all proxies share: the proxy with the most counters loses those of
 * its most silent VM, which is then asked for everything. False if that is this proxy.
 */
function takeCounters(state: Records, proxy: ObservedProxy): boolean {
  let most = proxy;
  for (const each of state.proxies.values()) if (each.counters > most.counters) most = each;
  state.metrics.evicted.inc({ table: 'counters' });
  most.overflow += 1;
  if (most === proxy) return false;
  const [silent] = most.vms.keys();
  if (silent !== undefined) dropVm(state, most, silent);
  return true;
}

/** `[IPv6]:port` and the separators of a key. */
const addressLength = 64;
/** No name in a mesh has other characters, so readers of logs and tables need not expect them. */
const printable = /^[\x20-\x7e]+$/;
