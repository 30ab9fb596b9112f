import { type Scoped, timeIn } from '../../core/scope/condition.ts';
import { type SidecarRecord, sidecarName } from '../../core/scope/sidecar.ts';
import { goneStatus, statusChange } from '../../core/scope/status.ts';
import { createSuccessors, type Successors } from '../../core/scope/successor.ts';
import type { Workload } from '../../core/scope/workload.ts';
import {
  readWorkloadScope,
  type ScopeRecord,
  workloadScopeOf,
} from '../../core/scope/workload-scope.ts';
import { version } from '../../frame/version.ts';
import type { Resource } from '../../kube/object.ts';
import type { ControllerMetrics } from '../metrics.ts';
import type { LookOptions } from './inputs.ts';
import type { Sink } from './sink.ts';

type RetireOptions = LookOptions & { sink: Sink; metrics: ControllerMetrics };

const sidecars: Resource = { group: 'networking.istio.io', version: 'v1', plural: 'sidecars' };
const scopes: Resource = { group: 'lazyscope.io', version: 'v1alpha1', plural: 'workloadscopes' };

/**
 * Removes the scopes of workloads that are gone (`retire`) or whose namespace was disabled
 * (`leave`).
 */
export type Retirement = {
  /**
   * A scope without its workload. If the workload is scaled to zero, the scope stays unchanged for
   * its ttl. If another workload has the pods now, the old Sidecar would conflict with the new one.
   */
  retire(namespace: string, name: string): Promise<'wrote' | 'nothing'>;
  /**
   * A workload of a namespace that is no longer enabled: delete its Sidecar first, then its scope.
   */
  leave(workload: Workload): Promise<'wrote' | 'nothing'>;
  /**
   * The workload exists. Returns for how many milliseconds this replica has known it, if it is one
   * that runs once, else 0.
   */
  isThere(key: string, workload: Pick<Workload, 'runsOnce'>): number;
};

/**
 * Pods of a CronJob, or of a Deployment that is recreated, are absent for moments; do not report
 * that.
 */
const goneMs = 60_000;

/**
 * Largest number of WorkloadScopes in one namespace. Each is an object in etcd, in the memory of
 * both replicas and in every pass, so new names with every run must not add objects without end.
 * Kubernetes supports 3,000 pods in a namespace (kubernetes/community, sig-scalability), which is
 * fewer workloads.
 */
export const scopesPerNamespace = 2_000;

export function createRetirement(options: RetireOptions): Retirement {
  const { state, life, now } = options;
  const absentSince = new Map<string, number>();
  /** Since when workloads that run once are there. */
  const onceSince = new Map<string, number>();
  /** By the workloads of a namespace, which are others after a change. */
  const known = new WeakMap<readonly Workload[], Successors>();

  function successorsIn(namespace: string): Successors {
    const workloads = state.workloads(namespace);
    const successors = known.get(workloads) ?? createSuccessors(workloads);
    known.set(workloads, successors);
    return successors;
  }

  async function retire(namespace: string, name: string): Promise<'wrote' | 'nothing'> {
    const key = `${namespace}/${name}`;
    const scope = state.scopes.get(namespace, name);
    if (!scope) {
      absentSince.delete(key);
      onceSince.delete(key);
      return 'nothing';
    }
    const found = state.sidecars.get(namespace, sidecarName({ name }));
    const sidecar = found?.ours ? found : undefined;
    const { label, mode, terminating } = state.namespaces.get(namespace) ?? {};
    if (terminating) return takeDown(options, sidecar, 'Off');
    const since = timeIn(scope.status?.goneSince) ?? absentSince.get(key) ?? now();
    absentSince.set(key, since);
    const isGone = now() - since > goneMs;
    const isOver =
      now() - since > (scope.ttlMs ?? life.ttlMs) ||
      successorsIn(namespace).has(scope) ||
      (isGone && (onceSince.has(key) || isWorthless(options, scope)));
    const isWanted = label !== undefined && (scope.mode ?? mode) === 'enforce';
    if (sidecar && (isOver || !isWanted)) {
      return takeDown(options, sidecar, isWanted ? 'NoProxies' : 'Off');
    }
    if (!scope.isIntended && (isOver || label === undefined)) return remove(options, scope);
    return isGone ? tellGone(options, scope, sidecar !== undefined, since) : 'nothing';
  }

  return {
    retire,
    isThere(key, { runsOnce }) {
      absentSince.delete(key);
      if (!runsOnce) {
        onceSince.delete(key);
        return 0;
      }
      const since = onceSince.get(key) ?? now();
      onceSince.set(key, since);
      return now() - since;
    },
    async leave({ namespace, name }) {
      const scope = state.scopes.get(namespace, name);
      const sidecar = state.sidecars.get(namespace, sidecarName({ name }));
      if (sidecar?.ours) await takeDown(options, sidecar, 'Off');
      return scope ? remove(options, scope) : 'nothing';
    },
  };
}

/** It remembers nothing, or its namespace needs the room for what runs. */
function isWorthless({ state }: RetireOptions, { namespace, name, status }: ScopeRecord): boolean {
  if (state.sidecars.get(namespace, sidecarName({ name }))?.ours) return false;
  const remembers = status?.hosts.some(({ reason }) => reason === 'learned') ?? false;
  return !remembers || state.scopes.count(namespace) > scopesPerNamespace / 2;
}

async function takeDown(
  options: RetireOptions,
  sidecar: SidecarRecord | undefined,
  reason: string,
): Promise<'wrote' | 'nothing'> {
  if (!sidecar) return 'nothing';
  await takeBack(options, sidecar);
  options.metrics.withdrawn.inc({ reason });
  return 'wrote';
}

export async function takeBack(
  { state, sink, now }: Pick<RetireOptions, 'state' | 'sink' | 'now'>,
  sidecar: SidecarRecord,
): Promise<void> {
  await sink.delete(sidecars, sidecar);
  state.sidecars.delete(sidecar.namespace, sidecar.name);
  state.imports.forget(sidecar.namespace, sidecar.name, now());
}

async function remove({ state, sink }: RetireOptions, scope: ScopeRecord): Promise<'wrote'> {
  const { namespace, name } = scope;
  await sink.delete(scopes, scope);
  state.scopes.delete(namespace, name);
  const taken = new Set(state.workloads(namespace).flatMap(({ owners }) => owners));
  const isLeft = state.namespaces.get(namespace)?.label === undefined;
  for (const owner of scope.owners)
    if (isLeft || !taken.has(owner)) state.edges.forget({ namespace, owner });
  return 'wrote';
}

async function tellGone(
  { state, sink, now }: RetireOptions,
  scope: ScopeRecord,
  isScoped: boolean,
  goneSince: number,
): Promise<'wrote' | 'nothing'> {
  const { namespace, name, selector } = scope;
  const mode = scope.mode ?? state.namespaces.get(namespace)?.mode ?? 'off';
  const status = goneStatus(scope, { version, mode, isScoped, goneSince, now: now() });
  if (statusChange(scope.status, status) !== 'now') return 'nothing';
  const workload = { namespace, name, selector, owners: scope.owners, pods: [] };
  const { spec: _, ...object } = workloadScopeOf(workload);
  const written = await sink.apply({ ...object, status }, 'status');
  state.scopes.set(readWorkloadScope(written));
  const told = status.conditions[0] as Scoped | undefined;
  if (told && scope.status?.goneSince === undefined) await sink.tell(written, told);
  return 'wrote';
}
