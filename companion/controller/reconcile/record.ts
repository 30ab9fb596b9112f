import { counted } from '../../core/mesh/counted.ts';
import { isWorrying } from '../../core/scope/barrier.ts';
import { conditionIn, type Mode } from '../../core/scope/condition.ts';
import type { Verdict } from '../../core/scope/expiry.ts';
import type { ScopeHost } from '../../core/scope/hosts.ts';
import type { Watched } from '../../core/scope/learning.ts';
import type { Plan } from '../../core/scope/plan.ts';
import type { ProxyCount } from '../../core/scope/proxies.ts';
import { scopeApiVersion } from '../../core/scope/sidecar.ts';
import { fullOf, statusChange, statusOf } from '../../core/scope/status.ts';
import type { Workload } from '../../core/scope/workload.ts';
import {
  readWorkloadScope,
  type ScopeRecord,
  workloadScopeOf,
} from '../../core/scope/workload-scope.ts';
import { version } from '../../frame/version.ts';
import type { LookOptions } from './inputs.ts';
import type { News, Sink } from './sink.ts';

/** Shortest interval between writes of counts and usage for a workload, to spare etcd. */
const calmMs = 30_000;
/**
 * Hosts may arrive in bursts; the Sidecar gets each at once, and the record of them follows within
 * a pass.
 */
const burstMs = 1_000;

/** The result of reconciling one workload. */
export type Look = {
  workload: Workload;
  scope: ScopeRecord;
  mode: Mode;
  proxies: ProxyCount;
  verdict: Verdict;
  hosts: ScopeHost[];
  /** Learned destinations that have no room in the scope. */
  leftOut: number;
  watched: Watched;
};

/** The record of each pass: the status of the WorkloadScope, and the Events about changes. */
export type Records = {
  /** `waits`: there is something to record, but not yet. */
  write(look: Look, plan: Plan): Promise<'wrote' | 'nothing' | 'waits'>;
  /** Reports hosts that the scope imports and whose calls find no route; each time once. */
  tellOfMissingRoutes(scope: ScopeRecord): Promise<void>;
  /** Workloads whose wait for figures, or to record them, is over; each once. */
  takeDue(): string[];
  /** The workload is gone. */
  drop(key: string): void;
};

type RecordOptions = LookOptions & { sink: Sink };

export function createRecords(options: RecordOptions): Records {
  const { state, sink, now } = options;
  const writtenAt = new Map<string, number>();
  const due = new Map<string, number>();
  // After a start, nodes need a moment before their silence has a meaning.
  const startedAt = now();

  /** Milliseconds until the record may be written; undefined if there is nothing to record. */
  function waitOf(key: string, change: ReturnType<typeof statusChange>): number | undefined {
    if (change === 'no') return undefined;
    const pauseMs = change === 'later' ? calmMs : writtenAt.has(key) ? burstMs : 0;
    return Math.max(0, pauseMs - (now() - (writtenAt.get(key) ?? startedAt)));
  }

  async function write(look: Look, plan: Plan): Promise<'wrote' | 'nothing' | 'waits'> {
    const { workload, scope, proxies } = look;
    const key = `${scope.namespace}/${scope.name}`;
    if (plan.scoped.reason === 'Measuring') {
      // A wait of moments; only its result is reported.
      due.set(key, now() + proxies.measuringMs);
      return 'waits';
    }
    const status = statusOf({
      ...look,
      ...plan,
      ttlMs: scope.ttlMs ?? options.life.ttlMs,
      states: workload.pods.flatMap((pod) => state.proxies.of(pod) ?? []),
      justScoped: plan.change.verb === 'create',
      before: scope.status,
      version,
      now: now(),
    });
    const change = statusChange(scope.status, status);
    const waitMs = waitOf(key, change);
    if (waitMs === undefined) return 'nothing';
    const news = newsOf(scope, look, plan);
    if (news.length === 0 && waitMs > 0) {
      if (change === 'soon') due.set(key, now() + waitMs);
      return 'waits';
    }
    const { spec: _, ...object } = workloadScopeOf(workload);
    const written = await sink.apply({ ...object, status }, 'status');
    // Only after the write: a failed write is retried, and must not count as done.
    writtenAt.set(key, now());
    state.scopes.set(readWorkloadScope(written));
    for (const event of news) await sink.tell(written, event);
    return 'wrote';
  }

  function takeDue(): string[] {
    const keys = [...due].filter(([, at]) => at <= now()).map(([key]) => key);
    for (const key of keys) due.delete(key);
    return keys;
  }

  return {
    write,
    takeDue,
    tellOfMissingRoutes: (scope) => tellOfMissingRoutes(options, scope),
    drop: (key) => void writtenAt.delete(key),
  };
}

async function tellOfMissingRoutes(
  { state, sink }: RecordOptions,
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
    message: `Imported, but still without a route, so calls are no longer held: ${named}. istiod is slow, or the scope lacks an object that the host needs. Mode off restores full configuration.`,
    isWarning: true,
  });
}

/** Most hosts that an Event names; the status has all. */
const namedMax = 10;

/** Changes that Events report: a condition with another reason, and expired hosts. */
function newsOf({ status }: ScopeRecord, { verdict, leftOut }: Look, plan: Plan): News[] {
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
  if (leftOut > 0 && !conditionIn(status, 'HostsLeftOut')) {
    const { reason, message } = fullOf(leftOut);
    events.push({ reason, message, isWarning: true });
  }
  const { expired } = verdict;
  if (expired.length > 0) {
    const named = expired.slice(0, namedMax).map(({ host }) => host);
    const more = expired.length > named.length ? ', ...' : '';
    const message = `${counted(expired.length, 'unused host')} expired: ${named.join(', ')}${more}`;
    events.push({ reason: 'Expired', message });
  }
  return events;
}
