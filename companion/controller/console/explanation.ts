import { callPathOf, readNamed } from '../explain/call.ts';
import { knownWorkload } from '../explain/known.ts';
import { stepsOf } from '../explain/steps.ts';
import { type Access, maySee } from './access.ts';
import { type Known, timesOf } from './known.ts';

export type ExplanationQuery = { namespace: string; name: string; to: string; tcp: boolean };

/**
 * What would happen to a call of a workload, step by step, as `lazyscope explain` says it. Nothing
 * is sent. Undefined for a workload that does not exist, or that the user may not see.
 */
export function explanation(known: Known, access: Access, query: ExplanationQuery) {
  const { namespace, name, to, tcp } = query;
  if (!maySee(access, namespace) || !known.scopes.get(namespace, name)) return undefined;
  const refused = (why: string) => ({ ...timesOf(known), to, steps: [], refused: why });
  const named = readNamed(to, tcp);
  if (!named) return refused('Give a host, host:port or a URL, for example cart.shop:8080.');
  const { explained } = known;
  const workload = explained && knownWorkload(explained, namespace, name);
  if (!workload) return refused('No running pod of this workload has a sidecar.');
  const path = callPathOf(explained, workload, named, known.now());
  return { ...timesOf(known), to, steps: stepsOf(explained, workload, path) };
}
