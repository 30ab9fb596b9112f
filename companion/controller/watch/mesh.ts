import { readDiscoverySelectors } from '../../core/mesh/discovery.ts';
import { meshConfigMapOf, revisionOfConfigMap } from '../../core/mesh/revision.ts';
import type { KubeObject, Resource, WatchHandler } from '../../kube/object.ts';
import type { State } from '../state/state.ts';
import type { Changed } from './changes.ts';

/** Where istiod of a revision reads the configuration of the mesh. */
export const meshResource = (namespace: string, revision: string): Resource => ({
  group: '',
  version: 'v1',
  plural: 'configmaps',
  namespace,
  fieldSelector: `metadata.name=${meshConfigMapOf(revision)}`,
});

export function meshHandler({ discovery, catalog }: State, changed: Changed): WatchHandler {
  function select({ metadata: { name }, data }: KubeObject): void {
    try {
      discovery.set(revisionOfConfigMap(name), readDiscoverySelectors(data?.mesh ?? ''));
    } catch (cause) {
      const remedy = 'correct its key mesh; until then the previous discoverySelectors apply';
      throw new Error(`ConfigMap ${name} is not a MeshConfig: ${remedy}`, { cause });
    }
  }
  return {
    upsert(object) {
      select(object);
      catalog.upsert(object);
      changed.all();
    },
    remove(object) {
      discovery.delete(revisionOfConfigMap(object.metadata.name));
      catalog.remove(object);
      changed.all();
    },
  };
}
