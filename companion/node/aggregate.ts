import { edgeOf, type FilterReport, type ReportEntry } from '../contract/filter-report.ts';
import { keyOf, type ReportedEdge } from '../contract/rpc.ts';
import type { ProxyStats } from '../core/scope/proxies.ts';
import {
  heardLog,
  type Life,
  type LoggedUses,
  type LogSign,
  lifeOf,
  missedLog,
  noteDropped,
  recordLog,
} from './logged.ts';
import type { NodeMetrics } from './metrics.ts';
import {
  type AggregateBounds,
  addCounters,
  aggregateBounds,
  dropSilentVms,
  dropVm,
  makeRoom,
  type ObservedProxy,
  proxyOf,
  type Records,
  useDestination,
  type Vm,
} from './observed.ts';
import type { Pod } from './pods.ts';

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
  /** `logDropped`: entries that Envoy says it dropped, since it started. */
  setStats(pod: Pod, stats: ProxyStats, logDropped?: number): void;
  /** Entries of the access log of a proxy, added up by destination; true if one is new. */
  recordLog(pod: Pod, uses: LoggedUses): boolean;
  /** A sign of life of its access log; true for the first one. */
  heardLog(pod: Pod, sign?: LogSign): boolean;
  /** Entries of its access log may be lost. */
  missedLog(pod: Pod, reason: string): void;
  lifeOf(proxy: ObservedProxy): Life;
  get(uid: string): ObservedProxy | undefined;
  proxies(): Iterable<ObservedProxy>;
  /** The changes after `version` of the proxy; 0 returns everything. */
  changesSince(proxy: ObservedProxy, version: number): ReportedEdge[];
  forget(uid: string): void;
};

/** `now`: milliseconds of a clock that never goes back. */
export type AggregateOptions = {
  metrics: NodeMetrics;
  now: () => number;
  /** Without it, every namespace learns from the filter. */
  sourceOf?: Records['sourceOf'];
  bounds?: AggregateBounds;
};

export function createAggregate(options: AggregateOptions): Aggregate {
  const state: Records = {
    ...{ bounds: aggregateBounds, sourceOf: () => 'wasm' as const, ...options },
    ...{ proxies: new Map(), counters: 0 },
  };
  return {
    recordLog: (pod, uses) => recordLog(state, pod, uses),
    heardLog: (pod, sign) => heardLog(state, pod, sign),
    missedLog: (pod, reason) => missedLog(state, proxyOf(state, pod), reason),
    lifeOf: (proxy) => lifeOf(state, proxy),
    record: (pod, report) => record(state, pod, report),
    setStats(pod, stats, logDropped) {
      const proxy = proxyOf(state, pod);
      if (logDropped !== undefined) noteDropped(state, proxy, logDropped);
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
  const vm = heardVm(state, proxy, report.epoch, { at, isInherited: !whole });
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

function heardVm(
  state: Records,
  proxy: ObservedProxy,
  epoch: bigint,
  { at, isInherited }: { at: number; isInherited: boolean },
): Vm {
  const fresh = { heardAt: at, isInherited, sequence: 0, overflow: 0, counts: new Map() };
  const vm = proxy.vms.get(epoch) ?? fresh;
  vm.heardAt = at;
  proxy.vms.delete(epoch);
  proxy.vms.set(epoch, vm);
  dropSilentVms(state, proxy, at);
  return vm;
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
  if (!makeRoom(state, proxy, key, { isNew: before === undefined, at })) return false;
  // The count is smaller than before: the filter had evicted this destination and saw it again.
  const heard = before === undefined || count < before ? count : count - before;
  // The access log of the proxy counts the same calls.
  const more = state.sourceOf(proxy.pod) === 'access-log' ? 0 : heard;
  const inherited = vm.isInherited && before === undefined ? more : 0;
  const isNew = useDestination(proxy, { key, edge, more, inherited }, at);
  vm.counts.set(key, count);
  if (before === undefined) addCounters(state, proxy, 1);
  return isNew;
}

function changesSince(proxy: ObservedProxy, version: number, at: number): ReportedEdge[] {
  const edges: ReportedEdge[] = [];
  for (const { edge, count, inherited, seenAt, changedAt } of proxy.destinations.values()) {
    if (changedAt <= version) continue;
    const secondsSinceSeen = Math.max(0, Math.floor((at - seenAt) / 1000));
    edges.push({ ...edge, secondsSinceSeen, count: count - inherited });
  }
  return edges;
}
