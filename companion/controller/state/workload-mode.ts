import { type Mode, modeInForce } from '../../core/scope/condition.ts';
import type { Workload } from '../../core/scope/workload.ts';
import type { State } from './state.ts';

/**
 * The mode of a workload: the word of its scope, else of a Service that selects it, else of its
 * namespace. Undefined: nobody ever enabled it, so nothing is written at all. Where that word
 * is none, the recorded mode stays in force, also after a restart.
 */
export function modeOf(state: State, workload: Workload): Mode | undefined {
  const { namespace, name } = workload;
  const scope = state.scopes.get(namespace, name);
  const { label, mode } = state.namespaces.get(namespace) ?? {};
  // Without the label the node companions of its pods serve nobody, whatever others ask for.
  if (label === undefined) return scope && 'off';
  const asked = scope?.mode ?? state.serviceModes.of(workload) ?? mode ?? 'unknown';
  return asked === 'unknown' ? modeInForce(asked, scope?.status?.mode) : asked;
}

/** The label is gone, and nobody asked for anything else: what is ours goes too. */
export function isLeft({ namespaces, scopes }: State, { namespace, name }: Workload): boolean {
  const isLabelled = namespaces.get(namespace)?.label !== undefined;
  return !isLabelled && scopes.get(namespace, name)?.isIntended === false;
}
