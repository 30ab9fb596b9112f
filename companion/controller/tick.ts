import { workloadsMax } from '../core/history/figures.ts';
import type { History } from '../core/history/history.ts';
import { conditionIn, modes } from '../core/scope/condition.ts';
import { type ScopeRecord, savedBytes } from '../core/scope/workload-scope.ts';
import type { ControllerMetrics } from './metrics.ts';
import type { Feed } from './nodes/feed.ts';
import type { NodeMessages } from './nodes/messages.ts';
import { type Measured, measuredWorkloads, noteFigures } from './nodes/remember.ts';
import type { Nodes } from './nodes/streams.ts';
import type { Life } from './reconcile/inputs.ts';
import type { Pace } from './reconcile/pace.ts';
import type { Reconciler } from './reconcile/reconcile.ts';
import type { Sink } from './reconcile/sink.ts';
import type { State } from './state/state.ts';
import type { Changed } from './watch/changes.ts';

export type TickOptions = {
  state: State;
  metrics: ControllerMetrics;
  changed: Changed;
  pace: Pace;
  reconciler: Pick<Reconciler, 'takeDue'>;
  nodes: Pick<Nodes, 'forget' | 'expire' | 'repay'>;
  messages: Pick<NodeMessages, 'takeArrived'>;
  notices: { look(): Promise<void> };
  feed: Pick<Feed, 'mark'>;
  sink: Pick<Sink, 'mayWrite'>;
  life: Pick<Life, 'ttlMs'>;
  history: History;
  now: () => number;
};

const tickMs = 1_000;
/** Interval of a pass over all workloads, which finds what comes with time. */
const ticksPerPass = 10;
/** Compact records that are repaired by each tick: those of 5,000 hosts within four minutes. */
const recordsPerTick = 20;

/** The only timer of the controller: expiry, repair, figures. */
export function startTick(options: TickOptions): { stop(): void } {
  const { state, metrics, changed, pace, reconciler, nodes, messages } = options;
  const { life, history, sink, now, feed } = options;
  let ticks = 0;
  let edgesRefused = 0;

  function tick(): void {
    ticks += 1;
    nodes.expire();
    nodes.repay();
    for (const pod of messages.takeArrived()) nodes.forget(pod);
    for (const key of reconciler.takeDue()) pace.mark(key, false);
    metrics.pending.set(pace.pending());
    feed.mark.markDue(recordsPerTick);
    if (ticks % ticksPerPass !== 0) return;
    // The previous pass has ended when nothing waits any more.
    if (sink.mayWrite() && pace.pending() === 0) metrics.lastSync.set(now() / 1000);
    state.proxies.expire(now());
    state.farHosts.expire(now() - life.ttlMs);
    const measured = measuredWorkloads(state);
    noteFigures(history, measured, now());
    measure(state, metrics);
    measureWorkloads(state, measured, metrics);
    measureHistory(history, metrics);
    metrics.edgesRefused.inc(state.edges.overflow() - edgesRefused);
    edgesRefused = state.edges.overflow();
    changed.pass();
    changed.ports();
    feed.mark.callers(undefined);
    feed.mark.markRest();
    // Never rejects: what cannot be told is logged.
    void options.notices.look();
  }

  const timer = setInterval(tick, tickMs);
  return { stop: () => clearInterval(timer) };
}

function measureHistory(history: History, metrics: ControllerMetrics): void {
  const { edges, figures, counters, changes } = history;
  metrics.historyEdges.set(edges.size());
  metrics.historyBytes.set(edges.bytes() + figures.bytes());
  metrics.historyBegins.set(history.beginsAt() / 1000);
  metrics.historyDropped.set({ item: 'edges' }, edges.evicted());
  metrics.historyDropped.set({ item: 'workloads' }, figures.evicted());
  metrics.historyDropped.set({ item: 'counters' }, counters.refused());
  metrics.historyDropped.set({ item: 'changes' }, changes.dropped());
}

/** As many as the history has figures of; of a workload that is gone no metric stays. */
export function measureWorkloads(
  state: State,
  measured: Measured,
  metrics: ControllerMetrics,
): void {
  const { workloadMemory, workloadSaved, workloadClusters, workloadProxies } = metrics;
  for (const each of [workloadMemory, workloadSaved, workloadClusters, workloadProxies])
    each.reset();
  for (const [key, { memoryBytes, clusters, proxies }] of [...measured].slice(0, workloadsMax)) {
    const [namespace = '', workload = ''] = key.split('/');
    const labels = { workload_namespace: namespace, workload };
    workloadMemory.set(labels, memoryBytes);
    workloadSaved.set(labels, savedBytes(state.scopes.get(namespace, workload)?.status));
    workloadClusters.set(labels, clusters / proxies);
    workloadProxies.set(labels, proxies);
  }
  metrics.workloadsLeftOut.set(Math.max(0, measured.size - workloadsMax));
}

function measure(state: State, metrics: ControllerMetrics): void {
  for (const [index, size] of Object.entries(state.catalog.sizes())) {
    metrics.catalog.set({ index }, size);
  }
  metrics.edges.set(state.edges.size());
  metrics.proxies.set([...state.proxies.values()].length);
  const scopes = [...state.scopes.values()];
  metrics.overdue.reset();
  metrics.withdrawalsPending.reset();
  metrics.hostsLeftOut.set(
    scopes.reduce((sum, { status }) => sum + (status?.hostsLeftOut ?? 0), 0),
  );
  metrics.nodesHeard.set(state.nodeStreams.size());
  for (const { status } of scopes) {
    const { kept = 0, reason } = status?.expiry ?? {};
    if (reason) metrics.overdue.inc({ reason }, kept);
    const pending = conditionIn(status, 'WithdrawalPending');
    if (pending) metrics.withdrawalsPending.inc({ reason: pending.reason });
  }
  const isScoped = ({ status }: ScopeRecord) => conditionIn(status, 'Scoped')?.status === 'True';
  metrics.workloadsScoped.set(scopes.filter(isScoped).length);
  metrics.memorySaved.set(scopes.reduce((sum, { status }) => sum + savedBytes(status), 0));
  for (const mode of modes) {
    metrics.workloads.set({ mode }, scopes.filter(({ status }) => status?.mode === mode).length);
  }
}
