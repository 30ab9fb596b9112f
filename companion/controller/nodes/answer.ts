import { type Decided, decide } from '../../core/first-call/decide.ts';
import type { UnknownCall } from '../../core/first-call/resolve.ts';
import { afterHolds, type Decision } from '../../core/first-call/strategy.ts';
import { selects } from '../../core/mesh/label-selector.ts';
import type { PodRecord } from '../../core/mesh/pod-record.ts';
import { type CallerFacts, callerOf } from '../../core/scope/caller.ts';
import { entryOf } from '../../core/scope/hosts.ts';
import { foreignSidecar, shadowedSidecar, sidecarName } from '../../core/scope/sidecar.ts';
import type { Workload } from '../../core/scope/workload.ts';
import type { State } from '../state/state.ts';
import { modeOf } from '../state/workload-mode.ts';
import { type AnswerConfig, meshView } from './mesh-view.ts';

export type Answered = Decision & {
  /**
   * The entry that the caller's scope must import for this call; undefined if that would not help.
   */
  learn: Decided<unknown>['learn'];
  /** 0 while the host is not in the scope. */
  millisecondsSinceScopeWritten: number;
  /** The entry that has been in the scope for long enough but brought no route; undefined: none. */
  routeless?: string | undefined;
};

export type Asker = { namespace: string; pod: PodRecord | undefined };

/** Decides about a first call from this replica's state, without waiting. */
export function answer(
  state: State,
  config: AnswerConfig,
  asker: Asker,
  call: UnknownCall,
  now: number,
): Answered {
  const caller = callerOf(callerFacts(state, config, asker, now));
  const decided = decide(meshView(state, config, now), caller, call);
  const { resolution: _, learn, awaited, ...decision } = decided;
  const importedMs = awaited ? importedFor(state, asker, entryOf(awaited), now) : 0;
  const settled = afterHolds(decision, importedMs);
  return {
    ...settled,
    learn,
    millisecondsSinceScopeWritten: importedMs,
    ...(settled !== decision && awaited && { routeless: entryOf(awaited) }),
  };
}

/** Milliseconds since the caller's scope imports the entry, 0 while it does not. */
function importedFor(state: State, { namespace, pod }: Asker, entry: string, now: number): number {
  const workload = pod && state.workloadOf(pod);
  const since = workload && state.imports.since(namespace, sidecarName(workload), entry);
  return since === undefined ? 0 : Math.max(1, now - since);
}

/** While the pod is unknown, what its namespace says applies. */
export function callerFacts(
  state: State,
  config: Pick<AnswerConfig, 'rootNamespace' | 'firstCall'>,
  { namespace, pod }: Asker,
  now: number,
): CallerFacts {
  const { sidecars, imports, catalog, scopes, namespaces } = state;
  const { rootNamespace } = config;
  const workload = pod && state.workloadOf(pod);
  const scope = workload && scopes.get(namespace, workload.name);
  const settings = namespaces.get(namespace);
  const inNamespace = [...sidecars.in(namespace)];
  const foreign = workload && foreignSidecar(inNamespace, workload);
  const shadowed = shadowedSidecar(
    [...inNamespace, ...sidecars.in(rootNamespace)],
    workload ?? { namespace, pods: [...catalog.podsIn(namespace)] },
    rootNamespace,
  );
  // While proxies have Lazyscope's scope, an unknown call says nothing about the other Sidecar.
  const isOurs = workload && imports.wasInForce(namespace, sidecarName(workload), now);
  return {
    namespace,
    labels: pod?.labels ?? {},
    network: pod?.network ?? '',
    firstCall: scope?.firstCall ?? settings?.firstCall ?? config.firstCall,
    mode: (workload ? modeOf(state, workload) : settings?.mode) ?? 'off',
    excludes: scope?.excludes ?? [],
    isNarrowed: mayBeNarrowed(state, { namespace, pod, workload }, now),
    foreign: foreign && !isOurs ? foreign.name : '',
    shadowed: shadowed && {
      namespace: shadowed.namespace,
      name: shadowed.name,
      spec: { egress: shadowed.spec.egress },
    },
  };
}

/**
 * Whether a scope may hide something from the caller's proxy. With full configuration, a call that
 * the proxy does not know is unknown to Istio too and must stay so: observing must change nothing.
 */
function mayBeNarrowed(
  { sidecars, imports }: State,
  { namespace, pod, workload }: Asker & { workload: Workload | undefined },
  now: number,
): boolean {
  // Also by the Sidecar of a renamed workload; by any Sidecar while the pod is unknown.
  const selected = [...sidecars.in(namespace)].some(
    ({ ours, selector = {} }) => ours && (!pod || selects(selector, pod.labels)),
  );
  return (
    selected || (workload && imports.wasInForce(namespace, sidecarName(workload), now)) === true
  );
}
