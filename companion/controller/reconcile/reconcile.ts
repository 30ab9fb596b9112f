import { canonical } from '../../core/scope/canonical.ts';
import type { Plan } from '../../core/scope/plan.ts';
import { readSidecar } from '../../core/scope/sidecar.ts';
import { createWithdrawalBudget } from '../../core/scope/withdrawal.ts';
import type { Workload } from '../../core/scope/workload.ts';
import {
  learnedEdges,
  readWorkloadScope,
  type ScopeRecord,
  workloadScopeOf,
} from '../../core/scope/workload-scope.ts';
import type { KubeObject } from '../../kube/object.ts';
import type { ControllerMetrics } from '../metrics.ts';
import type { State } from '../state/state.ts';
import { isLeft, modeOf } from '../state/workload-mode.ts';
import { createForgetting } from './forget.ts';
import { edgesOf, hostsOf, type LookOptions, planOf, watchedNow } from './inputs.ts';
import { createRecords } from './record.ts';
import { createRetirement, scopesPerNamespace, takeBack } from './retire.ts';
import { createSettled } from './settled.ts';
import type { Sink } from './sink.ts';

export type ReconcileOptions = LookOptions & {
  sink: Sink;
  metrics: ControllerMetrics;
  /** Resolves when the sentinel has the ports of the namespaces that are enabled now. */
  sentinelSettled(): Promise<void>;
};

export type Reconciler = {
  /**
   * Reconciles one workload, `namespace/name`: its edges without expired ones, the resulting scope,
   * the plan, its application and the record of it. Rejects if a write fails; then nothing is
   * removed from memory, and the next pass does the same again.
   */
  runOnce(key: string): Promise<'wrote' | 'nothing'>;
  /** Workloads whose wait for figures, or to record them, is over; each once. */
  takeDue(): string[];
  /** Whether `runOnce` would find nothing to do, as far as can be known without its work. */
  isSettled(namespace: string, name: string, workload: Workload | undefined): boolean;
};

export function createReconciler(options: ReconcileOptions): Reconciler {
  const { state, sink, metrics, now } = options;
  const forgetting = createForgetting(options);
  const retirement = createRetirement(options);
  const budget = createWithdrawalBudget(options.life.withdrawal, now);
  const records = createRecords(options);
  const settled = createSettled(options);
  const creating = new Set<string>();

  async function runOnce(key: string): Promise<'wrote' | 'nothing'> {
    if (!sink.mayWrite()) return 'nothing';
    const [namespace = '', name = ''] = key.split('/');
    const version = settled.begin(key);
    const workload = state.workload(namespace, name);
    const mode = workload && modeOf(state, workload);
    if (!workload || !mode || state.namespaces.get(namespace)?.terminating) {
      forgetting.drop(key);
      records.drop(key);
      state.missingRoutes.drop(key);
      const outcome = await retirement.retire(namespace, name);
      const gone = state.scopes.get(namespace, name);
      if (outcome === 'nothing' && gone && !workload) settled.noteGone(gone);
      return outcome;
    }
    const livedMs = retirement.isThere(key, workload);
    if (isLeft(state, workload)) return retirement.leave(workload);

    if (!state.scopes.get(namespace, name)) {
      if (!mayHaveScope(workload, livedMs)) return 'nothing';
      creating.add(key);
    }
    const { scope, wrote } = await ensureScope(options, workload).finally(() =>
      creating.delete(key),
    );
    const proxies = state.proxies.count(workload.pods, now());
    const known = edgesOf(state, workload);
    const verdict = forgetting.judge(workload, scope, known);
    const edges = known.filter((edge) => !verdict.expired.includes(edge));
    const fitted = hostsOf(options, workload, scope, edges);
    const watched = watchedNow(options, scope, proxies);
    const look = { workload, scope, mode, proxies, verdict, ...fitted, watched };
    const plan = planOf(options, { ...look, budget });
    const applied = await apply(options, plan);
    const recorded = await records.write(look, plan);
    await records.tellOfMissingRoutes(scope);
    // Sidecar and status no longer have the expired destinations, so they may be removed from
    // memory.
    if (recorded !== 'waits') forgetting.letGo(workload, verdict);
    if (wrote || applied || recorded === 'wrote') return 'wrote';
    if (recorded === 'nothing' && !plan.pending) settled.note(look, version);
    return 'nothing';
  }

  /**
   * A workload that ends before it could be narrowed needs no scope, and the scopes of a namespace
   * are bounded, including those whose first write is under way.
   */
  function mayHaveScope({ namespace, runsOnce }: Workload, livedMs: number): boolean {
    if (runsOnce && livedMs < options.life.learningWindowMs) return false;
    const underWay = [...creating].filter((key) => key.startsWith(`${namespace}/`)).length;
    const isFull = state.scopes.count(namespace) + underWay >= scopesPerNamespace;
    if (isFull) metrics.scopesRefused.inc();
    return !isFull;
  }

  return {
    runOnce,
    takeDue: records.takeDue,
    isSettled(namespace, name, workload) {
      if (!settled.holds(namespace, name, workload)) return false;
      forgetting.keep(`${namespace}/${name}`);
      return true;
    },
  };
}

async function ensureScope(
  { state, sink }: ReconcileOptions,
  workload: Workload,
): Promise<{ scope: ScopeRecord; wrote: boolean }> {
  const scope = state.scopes.get(workload.namespace, workload.name);
  if (scope?.uid && canonical(scope.selector) === canonical(workload.selector)) {
    return { scope, wrote: false };
  }
  const before = scope ? undefined : predecessorOf(state, workload);
  let written = await sink.apply(workloadScopeOf(workload));
  if (before?.status) {
    const { kind, apiVersion, metadata } = workloadScopeOf(workload);
    const status = { ...before.status, owners: workload.owners };
    written = await sink.apply({ kind, apiVersion, metadata, status }, 'status');
  }
  const record = readWorkloadScope(written);
  state.scopes.set(record);
  for (const [source, learned] of before ? learnedEdges(record) : [])
    state.edges.restore(source, learned);
  return { scope: record, wrote: true };
}

/** The scope of the same pods under the previous name of their owner. */
function predecessorOf({ scopes, workloads }: State, workload: Workload): ScopeRecord | undefined {
  const { namespace, selector } = workload;
  const names = new Set(workloads(namespace).map(({ name }) => name));
  return [...scopes.in(namespace)].find(
    (scope) => !names.has(scope.name) && canonical(scope.selector) === canonical(selector),
  );
}

async function apply(
  { state, sink, metrics, now, sentinelSettled }: ReconcileOptions,
  plan: Plan,
): Promise<boolean> {
  const { change } = plan;
  if (change.verb === 'none') return false;
  if (change.verb === 'delete') {
    await takeBack({ state, sink, now }, change.current);
    metrics.withdrawn.inc({ reason: plan.scoped.reason });
    return true;
  }
  if (change.verb === 'create') await sentinelSettled();
  const written: KubeObject = await sink.apply(change.sidecar);
  const record = readSidecar(written);
  // Not left to the watch, so that the next pass does not write the same again.
  state.sidecars.set(record);
  state.imports.note(record, now());
  return true;
}
