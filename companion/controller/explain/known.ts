import { conditionIn } from '../../core/scope/condition.ts';
import type { ScopeHost } from '../../core/scope/hosts.ts';
import { importedHosts, sidecarName } from '../../core/scope/sidecar.ts';
import type { Workload } from '../../core/scope/workload.ts';
import {
  readWorkloadScope,
  type ScopeRecord,
  workloadScopeOf,
} from '../../core/scope/workload-scope.ts';
import type { ControllerConfig } from '../../frame/config.ts';
import type { AnswerConfig } from '../nodes/mesh-view.ts';
import { edgesOf, hostsOf, type LookOptions } from '../reconcile/inputs.ts';
import type { State } from '../state/state.ts';
import { modeOf } from '../state/workload-mode.ts';

/** What an explanation reads: a controller's own state, or the command's copy of it. */
export type Explained = {
  state: State;
  config: Pick<ControllerConfig, 'clusterDomain' | 'firstCall'>;
  look: Omit<LookOptions, 'life'>;
  answers: AnswerConfig;
};

/** One workload of the mesh with what is known about it. */
export type Known = {
  workload: Workload;
  /** Without one in the cluster, the one that the controller would make. */
  scope: ScopeRecord;
  mode: string;
  /** The scope as it would be now; in mode enforce without obstacles it is in force. */
  hosts: ScopeHost[];
  /** Its hosts without the learned ones are more than one object can hold. */
  isTooLarge: boolean;
  /** Entries that the Sidecar of Lazyscope imports; undefined: there is none. */
  inForce: readonly string[] | undefined;
  /** What the controller last said about it; empty: nothing. */
  scoped: string;
};

/** By the name of the workload or of one of its owners. */
export function knownWorkload(mesh: Explained, namespace: string, name: string): Known | undefined {
  const { state, look } = mesh;
  const workload = state
    .workloads(namespace)
    .find((each) => each.name === name || each.owners.includes(name));
  if (!workload) return undefined;
  const scope =
    state.scopes.get(namespace, workload.name) ?? readWorkloadScope(workloadScopeOf(workload));
  const sidecar = state.sidecars.get(namespace, sidecarName(workload));
  const scoped = conditionIn(scope.status, 'Scoped');
  const { hosts, isTooLarge } = hostsOf(
    { ...look, life },
    workload,
    scope,
    edgesOf(state, workload),
  );
  return {
    workload,
    scope,
    mode: modeOf(state, workload) ?? 'not enabled',
    hosts,
    isTooLarge,
    inForce: sidecar?.ours ? importedHosts(sidecar) : undefined,
    scoped: scoped ? `${scoped.reason}: ${scoped.message}` : '',
  };
}

/** Times in the life of a scope, which the hosts of a scope do not depend on. */
export const life = {
  ...{ learningWindowMs: 0, ttlMs: 0, silenceMs: 0 },
  guard: { share: 1, count: 1 },
  withdrawal: { workloadsPerMinute: 1, bytesPerMinute: 1 },
};
