import { type Mode, modeInForce } from '../../core/scope/condition.ts';
import type { Workload } from '../../core/scope/workload.ts';
import type { State } from './state.ts';

/**
 * The mode of a workload: that of its scope, else of a Service that selects it, else of its
 * namespace. Undefined: it was never enabled, so nothing is written. If the value is not a mode,
 * the recorded mode stays in force, also after a restart.
 */
export function modeOf(state: State, workload: Workload): Mode | undefined {
  const { namespace, name } = workload;
  const scope = state.scopes.get(namespace, name);
  const { label, mode } = state.namespaces.get(namespace) ?? {};
  // Without the label the node companions do not serve the namespace's pods, whatever other objects
  // say.
  if (label === undefined) return scope && 'off';
  const asked = scope?.mode ?? state.serviceModes.of(workload) ?? mode ?? 'unknown';
  return asked === 'unknown' ? modeInForce(asked, scope?.status?.mode) : asked;
}

/** The label is gone, and nothing else sets a mode: Lazyscope's objects are removed too. */
export function isLeft({ namespaces, scopes }: State, { namespace, name }: Workload): boolean {
  const isLabelled = namespaces.get(namespace)?.label !== undefined;
  return !isLabelled && scopes.get(namespace, name)?.isIntended === false;
}
