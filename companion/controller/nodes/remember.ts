import type { History } from '../../core/history/history.ts';
import { scopeChanges } from '../../core/history/scope-changes.ts';
import type { PodRecord } from '../../core/mesh/pod-record.ts';
import type { HostRef } from '../../core/scope/edges.ts';
import { entryOf } from '../../core/scope/hosts.ts';
import type { ScopeRecord } from '../../core/scope/workload-scope.ts';
import type { State } from '../state/state.ts';

/** Counts the destinations of one report of a pod into the history. */
export function countingOf(history: History, state: State, pod: PodRecord, at: number) {
  const workload = state.workloadOf(pod);
  const callsSince = history.counters.report(pod.uid, at);
  return (host: HostRef, key: string, count: number): void => {
    const calls = callsSince(key, count);
    if (calls === 0 || !workload) return;
    const { namespace, name } = workload;
    history.edges.add({ namespace, workload: name, host: entryOf(host) }, at, calls);
  };
}

export function noteFirstCall(
  { changes }: History,
  state: State,
  { pod, host, strategy, at }: { pod: PodRecord; host: HostRef; strategy: string; at: number },
): void {
  const workload = state.workloadOf(pod);
  if (!workload) return;
  const { namespace, name } = workload;
  const told = { namespace, workload: name, host: entryOf(host), detail: strategy };
  changes.add({ at, kind: 'first-call', ...told });
}

export function noteScope(
  { changes }: History,
  before: ScopeRecord | undefined,
  after: ScopeRecord,
  at: number,
): void {
  for (const change of scopeChanges(before, after, at)) changes.add(change);
}

/** Sums over the measured proxies of a workload, by `namespace/name`. */
export type Measured = Map<string, { memoryBytes: number; clusters: number; proxies: number }>;

export function measuredWorkloads(state: State): Measured {
  const sums: Measured = new Map();
  for (const { namespace, pod: name, stats } of state.proxies.values()) {
    const pod = stats && state.catalog.pod(namespace, name);
    const workload = pod && state.workloadOf(pod);
    if (!stats || !workload) continue;
    const key = `${namespace}/${workload.name}`;
    const sum = sums.get(key) ?? { memoryBytes: 0, clusters: 0, proxies: 0 };
    sum.memoryBytes += stats.allocatedBytes;
    sum.clusters += stats.clusters;
    sum.proxies += 1;
    sums.set(key, sum);
  }
  return sums;
}

/** Records the mean memory and clusters of the proxies of each workload. */
export function noteFigures({ figures }: History, measured: Measured, at: number): void {
  for (const [key, { memoryBytes, clusters, proxies }] of measured) {
    const means = { memoryBytes: memoryBytes / proxies, clusters: clusters / proxies };
    figures.set(key, at, means);
  }
}
