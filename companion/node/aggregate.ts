import { edgeOf, type FilterReport, type ReportEntry } from '../contract/filter-report.ts';
import { keyOf, type ReportedEdge } from '../contract/rpc.ts';
import type { ProxyStats } from '../core/scope/proxies.ts';
import type { NodeMetrics } from './metrics.ts';
import type { Pod } from './pods.ts';

type UsedDestination = {
  edge: Pick<ReportedEdge, 'cluster' | 'unknown'>;
  count: number;
  seenAt: number;
  changedAt: number;
};

type Vm = { heardAt: number; sequence: number; overflow: number; counts: Map<string, number> };

export type ObservedProxy = {
  readonly pod: Pod;
  filterVersion: string;
  /** Undefined while no filter of this proxy has reported. */
  heardAt: number | undefined;
  overflow: number;
  /** The figures that were read from the proxy, and when. */
  stats: (ProxyStats & { at: number }) | undefined;
  /** Grows with every change, so that a reader can ask for the changes since a version. */
  version: number;
  /** The least recently changed destination comes first. */
  readonly destinations: Map<string, UsedDestination>;
  /** The VM that has been silent longest comes first. */
  readonly vms: Map<bigint, Vm>;
};

export type Outcome = {
  /** False: entries acknowledged by an earlier life of this process are missing; ask for all. */
  whole: boolean;
  /** The proxy reported for the first time, or used a new destination. */
  firstSight: boolean;
};

export type Aggregate = {
  /**
   * Counters are cumulative and a report repeats unacknowledged entries, so a lost, repeated or
   * reordered report changes no sum.
   */
  record(pod: Pod, report: FilterReport): Outcome;
  setStats(pod: Pod, stats: ProxyStats): void;
  get(uid: string): ObservedProxy | undefined;
  proxies(): Iterable<ObservedProxy>;
  /** The changes after `version` of the proxy; 0 returns everything. */
  changesSince(proxy: ObservedProxy, version: number): ReportedEdge[];
  forget(uid: string): void;
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
  /** A filter reports every 30 s, so a filter that was silent this long is gone. */
  vmSilenceMs: number;
};

export const aggregateBounds: AggregateBounds = {
  destinationsPerProxy: 1024,
  vmsPerProxy: 64,
  counters: 250_000,
  nameLength: 512,
  vmSilenceMs: 600_000,
};

/** `now`: milliseconds of a clock that never goes back. */
export type AggregateOptions = {
  metrics: NodeMetrics;
  now: () => number;
  bounds?: AggregateBounds;
};

type Records = {
  metrics: NodeMetrics;
  now: () => number;
  bounds: AggregateBounds;
  proxies: Map<string, ObservedProxy>;
  /** Counters in all VMs of all proxies. */
  counters: number;
};

export function createAggregate(options: AggregateOptions): Aggregate {
  const state: Records = { bounds: aggregateBounds, ...options, proxies: new Map(), counters: 0 };
  return {
    record: (pod, report) => record(state, pod, report),
    setStats(pod, stats) {
      const proxy = proxyOf(state, pod);
      proxy.stats = { ...stats, at: state.now() };
      proxy.version += 1;
    },
    get: (uid) => state.proxies.get(uid),
    proxies: () => state.proxies.values(),
    changesSince: (proxy, version) => changesSince(proxy, version, state.now()),
    forget(uid) {
      const proxy = state.proxies.get(uid);
      if (!proxy) return;
      for (const epoch of [...proxy.vms.keys()]) dropVm(state, proxy, epoch);
      state.proxies.delete(uid);
      state.metrics.proxies.set(state.proxies.size);
      state.metrics.counters.set(state.counters);
    },
  };
}

function record(state: Records, pod: Pod, report: FilterReport): Outcome {
  const { metrics } = state;
  const at = state.now();
  const proxy = proxyOf(state, pod);
  let firstSight = proxy.heardAt === undefined;
  const whole = report.sequence <= 1 || proxy.vms.has(report.epoch);
  const vm = heardVm(state, proxy, report.epoch, at);
  const overflow = Number(report.totals.overflow + report.totals.lost);
  proxy.filterVersion = report.filterVersion;
  proxy.heardAt = at;
  proxy.version += 1;
  // A late report contains nothing that the newer report did not contain.
  if (report.sequence > vm.sequence) {
    vm.sequence = report.sequence;
    proxy.overflow += Math.max(0, overflow - vm.overflow);
    vm.overflow = Math.max(vm.overflow, overflow);
    for (const entry of report.entries) {
      if (observe(state, proxy, vm, entry, at)) firstSight = true;
    }
  }
  metrics.reports.inc();
  metrics.lastReport.setToCurrentTime();
  metrics.observations.inc(report.entries.length);
  metrics.counters.set(state.counters);
  return { whole, firstSight };
}

function proxyOf({ proxies, metrics }: Records, pod: Pod): ObservedProxy {
  const known = proxies.get(pod.uid);
  if (known) return known;
  const proxy: ObservedProxy = {
    pod,
    filterVersion: '',
    heardAt: undefined,
    overflow: 0,
    stats: undefined,
    version: 0,
    destinations: new Map(),
    vms: new Map(),
  };
  proxies.set(pod.uid, proxy);
  metrics.proxies.set(proxies.size);
  return proxy;
}

function heardVm(state: Records, proxy: ObservedProxy, epoch: bigint, at: number): Vm {
  const vm = proxy.vms.get(epoch) ?? { heardAt: at, sequence: 0, overflow: 0, counts: new Map() };
  vm.heardAt = at;
  proxy.vms.delete(epoch);
  proxy.vms.set(epoch, vm);
  dropSilentVms(state, proxy, at);
  return vm;
}

/** The sums keep the counts of a dropped VM. If it reports again, they are added twice. */
function dropSilentVms(state: Records, proxy: ObservedProxy, at: number): void {
  const { bounds, metrics } = state;
  for (const [epoch, vm] of proxy.vms) {
    const tooMany = proxy.vms.size > bounds.vmsPerProxy;
    if (!tooMany && at - vm.heardAt < bounds.vmSilenceMs) return;
    if (tooMany) metrics.evicted.inc({ table: 'vms' });
    dropVm(state, proxy, epoch);
  }
}

function dropVm(state: Records, proxy: ObservedProxy, epoch: bigint): void {
  state.counters -= proxy.vms.get(epoch)?.counts.size ?? 0;
  proxy.vms.delete(epoch);
}

/** True when the proxy had not used this destination before. */
function observe(
  state: Records,
  proxy: ObservedProxy,
  vm: Vm,
  entry: ReportEntry,
  at: number,
): boolean {
  const edge = edgeOf(entry.destination);
  const key = keyOf(edge);
  const count = Math.min(Number(entry.count), Number.MAX_SAFE_INTEGER);
  const before = vm.counts.get(key);
  if (count <= 0 || count === before) return false;
  if (!fits(state, proxy, key, before === undefined)) return false;
  const known = proxy.destinations.get(key);
  const destination = known ?? { edge, count: 0, seenAt: at, changedAt: 0 };
  // The count is smaller than before: the filter had evicted this destination and saw it again.
  const more = before === undefined || count < before ? count : count - before;
  const sum = destination.count + more;
  destination.count = Math.min(sum, Number.MAX_SAFE_INTEGER);
  destination.seenAt = at;
  proxy.version += 1;
  destination.changedAt = proxy.version;
  proxy.destinations.delete(key);
  proxy.destinations.set(key, destination);
  vm.counts.set(key, count);
  if (before === undefined) state.counters += 1;
  return !known;
}

/** Makes room for a new destination; false if there is no room. */
function fits(state: Records, proxy: ObservedProxy, key: string, isNew: boolean): boolean {
  const { bounds, metrics } = state;
  if (isNew && (key.length > bounds.nameLength + addressLength || !printable.test(key))) {
    metrics.evicted.inc({ table: 'names' });
    proxy.overflow += 1;
    return false;
  }
  if (isNew && state.counters >= bounds.counters) {
    metrics.evicted.inc({ table: 'counters' });
    proxy.overflow += 1;
    return false;
  }
  const { destinations, vms } = proxy;
  const [oldest] = destinations.keys();
  if (destinations.has(key) || destinations.size < bounds.destinationsPerProxy) return true;
  if (oldest === undefined) return true;
  destinations.delete(oldest);
  for (const vm of vms.values()) if (vm.counts.delete(oldest)) state.counters -= 1;
  metrics.evicted.inc({ table: 'destinations' });
  proxy.overflow += 1;
  return true;
}

function changesSince(proxy: ObservedProxy, version: number, at: number): ReportedEdge[] {
  const edges: ReportedEdge[] = [];
  for (const { edge, seenAt, changedAt } of proxy.destinations.values()) {
    if (changedAt <= version) continue;
    const secondsSinceSeen = Math.max(0, Math.floor((at - seenAt) / 1000));
    edges.push({ ...edge, secondsSinceSeen });
  }
  return edges;
}

/** `[IPv6]:port` and the separators of a key. */
const addressLength = 64;
/** No name in a mesh has other characters, so readers of logs and tables need not expect them. */
const printable = /^[\x20-\x7e]+$/;
