import { readWorkloadScope, type ScopeRecord } from '../../companion/core/scope/workload-scope.ts';
import type { Resource } from '../../companion/kube/object.ts';
import type { Session } from './verb.ts';

export const scopeResource: Resource = {
  group: 'lazyscope.io',
  version: 'v1alpha1',
  plural: 'workloadscopes',
};

/** The WorkloadScopes of a namespace, or of all, in the order of their names. */
export async function readScopes(
  { cluster }: Session,
  namespace: string | undefined,
): Promise<ScopeRecord[]> {
  const { list } = await cluster();
  const objects = await list({ ...scopeResource, ...(namespace && { namespace }) });
  return objects
    .map(readWorkloadScope)
    .sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
}
