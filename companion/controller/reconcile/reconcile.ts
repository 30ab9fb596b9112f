import { isWorrying } from '../../core/scope/barrier.ts';
import { canonical } from '../../core/scope/canonical.ts';
import { conditionIn, type Mode } from '../../core/scope/condition.ts';
import type { Verdict } from '../../core/scope/expiry.ts';
import type { ScopeHost } from '../../core/scope/hosts.ts';
import type { Watched } from '../../core/scope/learning.ts';
import type { Plan } from '../../core/scope/plan.ts';
import { readSidecar, scopeApiVersion } from '../../core/scope/sidecar.ts';
import { statusChange, statusOf } from '../../core/scope/status.ts';
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
import { createRetirement, takeBack } from './retire.ts';
import type { News, Sink } from './sink.ts';

export type ReconcileOptions = LookOptions & { sink: Sink; metrics: ControllerMetrics };

/** Counts and usage are written at most this often for a workload, so that etcd stays calm. */
const calmMs = 30_000;
/** Hosts may come in bursts; the Sidecar has each at once, the record of them within a pass. */
const burstMs = 1_000;

export type Reconciler = {
  /** One look at a workload, `namespace/name`: edges, scope, plan, apply. */
  runOnce(key: string): Promise<'wrote' | 'nothing'>;
  /** Workloads whose wait for figures, or to record them, is over; each once. */
  takeDue(): string[];
};

export function createReconciler(options: ReconcileOptions): Reconciler {
  const { state, sink, now } = options;
  const forgetting = createForgetting(options);
  const retirement = createRetirement(options);
  const budget = createWithdrawalBudget(options.life.withdrawal, now);
  const statusWrittenAt = new Map<string, number>();
  const due = new Map<string, number>();
  // After a start, nodes need a moment before their silence means anything.
  const startedAt = now();

  async function runOnce(key: string): Promise<'wrote' | 'nothing'> {
    if (!sink.mayWrite()) return 'nothing';
    const [namespace = '', name = ''] = key.split('/');
    const workload = state.workloads(namespace).find((each) => each.name === name);
    const mode = workload && modeOf(state, workload);
    if (!workload || !mode || state.namespaces.get(namespace)?.terminating) {
      forgetting.drop(key);
      statusWrittenAt.delete(key);
      state.missingRoutes.drop(key);
      return retirement.retire(namespace, name);
    }
    retirement.isThere(key);
    if (isLeft(state, workload)) return retirement.leave(workload);

    const ensured = await ensureScope(options, workload);
    const { scope } = ensured;
    const verdict = forgetting.expire(workload, scope, edgesOf(state, workload));
    const hosts = hostsOf(options, workload, scope);
    const watched = watchedNow(options, workload);
    const look = { workload, scope, hosts, mode, watched, verdict };
    const plan = planOf(options, { ...look, budget });
    const applied = await apply(options, plan);
    if (plan.scoped.reason === 'Measuring') {
      // A wait of moments; what comes of it is told.
      due.set(key, now() + state.proxies.count(workload.pods, now()).measuringMs);
      return ensured.wrote ? 'wrote' : 'nothing';
    }
    const told = await writeStatus({ ...look, plan });
    await tellOfMissingRoutes(options, scope);
    return ensured.wrote || applied || told ? 'wrote' : 'nothing';
  }

  async function writeStatus(found: Look & { plan: Plan }): Promise<boolean> {
    const { workload, scope, plan } = found;
    const { namespace, name } = scope;
    const status = statusOf({
      ...found,
      ...plan,
      ttlMs: scope.ttlMs ?? options.life.ttlMs,
      proxies: state.proxies.count(workload.pods, now()),
      states: workload.pods.flatMap((pod) => state.proxies.of(pod) ?? []),
      justScoped: plan.change.verb === 'create',
      before: scope.status,
      now: now(),
    });
    const change = statusChange(scope.status, status);
    const key = `${namespace}/${name}`;
    const news = newsOf(scope, found);
    const sinceMs = now() - (statusWrittenAt.get(key) ?? startedAt);
    const pauseMs = change === 'later' ? calmMs : statusWrittenAt.has(key) ? burstMs : 0;
    if (change === 'no') return false;
    if (news.length === 0 && sinceMs < pauseMs) {
      if (change === 'soon') due.set(key, now() + pauseMs - sinceMs);
      return false;
    }
    const { spec: _, ...object } = workloadScopeOf(workload);
    statusWrittenAt.set(key, now());
    const written = await sink.apply({ ...object, status }, 'status');
    state.scopes.set(readWorkloadScope(written));
    for (const event of news) await sink.tell(written, event);
    return true;
  }

  function takeDue(): string[] {
    const keys = [...due].filter(([, at]) => at <= now()).map(([key]) => key);
    for (const key of keys) due.delete(key);
    return keys;
  }

  return { runOnce, takeDue };
}

type Look = {
  workload: Workload;
  scope: ScopeRecord;
  hosts: ScopeHost[];
  mode: Mode;
  watched: Watched;
  verdict: Verdict;
};

async function tellOfMissingRoutes(
  { state, sink }: ReconcileOptions,
  { namespace, name, uid }: ScopeRecord,
): Promise<void> {
  const entries = state.missingRoutes.take(`${namespace}/${name}`);
  if (entries.length === 0) return;
  const named = `${entries.slice(0, namedMax).join(', ')}${entries.length > namedMax ? ', ...' : ''}`;
  const about = {
    apiVersion: scopeApiVersion,
    kind: 'WorkloadScope',
    metadata: { namespace, name, uid },
  };
  await sink.tell(about, {
    reason: 'RouteMissing',
    message: `Imported, and calls still find no route, so they are held no more: ${named}. istiod is late, or the scope lacks what the host needs: mode off gives everything back.`,
    isWarning: true,
  });
}

/** Hosts that an Event names; the status has them all. */
const namedMax = 10;

/** What people are told of by Events: a condition for another reason, and what has expired. */
function newsOf({ status }: ScopeRecord, { plan, verdict }: Look & { plan: Plan }) {
  const events: News[] = [];
  const { scoped, ready, pending } = plan;
  if (conditionIn(status, 'Scoped')?.reason !== scoped.reason) {
    events.push({ ...scoped, isWarning: isWorrying(scoped) });
  }
  const isTold = scoped.reason === ready.reason;
  if (!isTold && conditionIn(status, 'Ready')?.reason !== ready.reason) {
    events.push({ ...ready, isWarning: isWorrying(ready) });
  }
  if (pending && conditionIn(status, 'WithdrawalPending')?.reason !== pending.reason) {
    const message = `${pending.reason}: ${pending.message}`;
    events.push({ reason: 'WithdrawalPending', message, isWarning: true });
  }
  const { expired } = verdict;
  if (expired.length > 0) {
    const named = expired.slice(0, namedMax).map(({ host }) => host);
    const more = expired.length > named.length ? ', ...' : '';
    const message = `${expired.length} unused hosts expired: ${named.join(', ')}${more}`;
    events.push({ reason: 'Expired', message });
  }
  return events;
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

/** The scope of the same pods under the name that their owner had before it was renamed. */
function predecessorOf({ scopes, workloads }: State, workload: Workload): ScopeRecord | undefined {
  const { namespace, selector } = workload;
  const names = new Set(workloads(namespace).map(({ name }) => name));
  return [...scopes.in(namespace)].find(
    (scope) => !names.has(scope.name) && canonical(scope.selector) === canonical(selector),
  );
}

async function apply(
  { state, sink, metrics, now }: ReconcileOptions,
  plan: Plan,
): Promise<boolean> {
  const { change } = plan;
  if (change.verb === 'none') return false;
  if (change.verb === 'delete') {
    await takeBack({ state, sink, now }, change.current);
    metrics.withdrawn.inc({ reason: plan.scoped.reason });
    return true;
  }
  const written: KubeObject = await sink.apply(change.sidecar);
  const record = readSidecar(written);
  // Not left to the watch: the next look must not write the same again.
  state.sidecars.set(record);
  state.imports.note(record, now());
  return true;
}
