import type { Refusal } from '../../core/scope/barrier.ts';
import type { Mode } from '../../core/scope/condition.ts';
import { eagerMax } from '../../core/scope/eager.ts';
import { type Edge, type HostRef, mergeEdges } from '../../core/scope/edges.ts';
import type { ShrinkGuard } from '../../core/scope/expiry.ts';
import { type FittedScope, fitScope, roomFor } from '../../core/scope/fit.ts';
import { isOwnReason, type ScopeHost, scopeOf } from '../../core/scope/hosts.ts';
import { learningMsOf, type Watched, watchedOf } from '../../core/scope/learning.ts';
import { type Plan, planScope } from '../../core/scope/plan.ts';
import type { ProxyCount } from '../../core/scope/proxies.ts';
import {
  admits,
  egressProxyOf,
  foreignSidecar,
  type SidecarRecord,
  shadowedSidecar,
  sidecarName,
  unnarrowable,
} from '../../core/scope/sidecar.ts';
import { unseenProxy } from '../../core/scope/unseen.ts';
import {
  gainBytesOf,
  type WithdrawalBudget,
  type WithdrawalLimit,
} from '../../core/scope/withdrawal.ts';
import type { Workload } from '../../core/scope/workload.ts';
import { type ScopeRecord, watchedBefore } from '../../core/scope/workload-scope.ts';
import type { State } from '../state/state.ts';
import { obstacleOf } from './notices.ts';
import { refusalOfUnknownCalls } from './unknown-calls.ts';

/** The times in the life of a scope, in milliseconds, and how fast it may shrink. */
export type Life = {
  learningWindowMs: number;
  ttlMs: number;
  silenceMs: number;
  guard: ShrinkGuard;
  withdrawal: WithdrawalLimit;
};

/** Inputs shared by the functions that evaluate one workload. */
export type LookOptions = {
  state: State;
  rootNamespace: string;
  sentinel: HostRef;
  gateway: HostRef;
  life: Life;
  now: () => number;
};

/** Edges of all owners that share the scope. */
export function edgesOf({ edges }: State, { namespace, owners }: Workload): Edge[] {
  return mergeEdges(owners.flatMap((owner) => edges.edgesFrom({ namespace, owner })));
}

export function hostsOf(
  { state, sentinel, gateway, rootNamespace }: LookOptions,
  workload: Workload,
  scope: ScopeRecord,
  edges: readonly Edge[],
): FittedScope {
  const { namespace } = workload;
  const shadowed = shadowedOf(state, workload, rootNamespace);
  const input = {
    namespace,
    rootNamespace,
    labels: workload.pods.map(({ labels }) => labels),
    ips: workload.pods.flatMap(({ ips }) => ips),
    pins: scope.pins,
    excludes: scope.excludes,
    sentinel,
    gateway,
    dnsProxy: workload.pods.some((pod) => pod.dnsProxy),
    egressProxy: egressProxyOf(shadowed),
    blind: state.installedFilter.blindCalls(namespace),
  };
  const build = (some: readonly Edge[]) =>
    scopeOf(state.catalog, { ...input, edges: some }).filter(
      ({ entry, reason }) => isOwnReason(reason) || admits(shadowed, entry, namespace),
    );
  return fitScope(edges, build, roomFor({ scope, workload, shadowed }));
}

export function watchedNow(
  { life, now }: LookOptions,
  { status }: ScopeRecord,
  proxies: ProxyCount,
): Watched {
  return watchedOf({
    before: watchedBefore(status),
    proxies,
    silenceMs: life.silenceMs,
    learningWindowMs: life.learningWindowMs,
    now: now(),
  });
}

export function planOf(
  { state, rootNamespace, life, now }: LookOptions,
  found: {
    workload: Workload;
    scope: ScopeRecord;
    hosts: ScopeHost[];
    isTooLarge: boolean;
    mode: Mode;
    proxies: ProxyCount;
    watched: Watched;
    budget: WithdrawalBudget;
  },
): Plan {
  const { workload, scope, hosts, mode, proxies, watched, budget } = found;
  const { namespace } = workload;
  const current = state.sidecars.get(namespace, sidecarName(workload));
  const shadowed = shadowedOf(state, workload, rootNamespace);
  return planScope({
    workload,
    mode,
    owner: { name: scope.name, uid: scope.uid },
    hosts: hosts.map(({ entry }) => entry),
    shadowed,
    current: current?.ours ? current : undefined,
    foreign:
      current && !current.ours ? current : foreignSidecar(state.sidecars.in(namespace), workload),
    refusal:
      refusalOf(state, workload, rootNamespace) ?? ofHosts(found) ?? ofDefault(workload, shadowed),
    isIstioTooOld: state.installedFilter.isIstioTooOld(),
    proxies,
    admitWithdrawal: () =>
      budget.admit(`${namespace}/${workload.name}`, gainBytesOf(scope.status, proxies.total)),
    learningMs: learningMsOf(watched, life.learningWindowMs, now()),
    silenceMs: life.silenceMs,
  });
}

function refusalOf(state: State, workload: Workload, rootNamespace: string): Refusal | undefined {
  const { namespace, selector, pods } = workload;
  const revisions = pods.map(({ revision }) => revision);
  const obstacle = obstacleOf(state, namespace, new Set(revisions));
  if (obstacle) return obstacle;
  if (Object.keys(selector).length === 0) {
    // A Sidecar without a selector would apply to the whole namespace.
    const message =
      'The pods have no label in common by which a Sidecar could select them. Give them one.';
    return { reason: 'NoLabels', message };
  }
  const unseen = unseenProxy(state.catalog, workload);
  if (unseen) {
    const message =
      `The Sidecar of this workload would also select ${unseen}, whose proxy has no filter. ` +
      `Give the pods a label that ${unseen} does not have.`;
    return { reason: 'UnseenProxies', message };
  }
  return refusalOfUnknownCalls(state, workload, rootNamespace);
}

/** More hosts than a scope can hold. */
function ofHosts(found: { hosts: ScopeHost[]; isTooLarge: boolean }): Refusal | undefined {
  const { hosts, isTooLarge } = found;
  if (isTooLarge) {
    const message =
      'Its hosts without the learned ones exceed what etcd stores in one object. Pin fewer, exclude some ' +
      '(spec.pins, spec.excludes), or export them and their VirtualServices to fewer namespaces.';
    return { reason: 'ScopeTooLarge', message };
  }
  if (hosts.filter(({ reason }) => reason === 'eager').length < eagerMax) return undefined;
  const message =
    `At least ${eagerMax} hosts must be imported before their first call, more than a scope can hold. ` +
    'Exclude some (spec.excludes), or export them to fewer namespaces.';
  return { reason: 'TooManyEager', message };
}

/** Why unknown calls do not reach the filter, apart from its installation. */
function ofDefault({ pods }: Workload, shadowed: SidecarRecord | undefined): Refusal | undefined {
  const bare = pods.find(({ intercepted }) => !intercepted);
  if (bare) {
    const message = `Pod ${bare.name} has interception mode NONE, so unknown calls do not reach its proxy. Use REDIRECT or TPROXY.`;
    return { reason: 'NotIntercepted', message };
  }
  const message = shadowed && unnarrowable(shadowed);
  return message ? { reason: 'BoundListeners', message } : undefined;
}

function shadowedOf({ sidecars: table }: State, workload: Workload, rootNamespace: string) {
  const found = [...table.in(workload.namespace), ...table.in(rootNamespace)];
  return shadowedSidecar(found, workload, rootNamespace);
}
