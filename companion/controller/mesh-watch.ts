import { readDiscoverySelectors } from '../core/discovery.ts';
import { meshConfigMap } from '../core/mesh-config.ts';
import type { Resource, WatchHandler } from '../kube.ts';
import type { Changed } from './informers.ts';
import type { State } from './state.ts';

/** Where istiod reads the configuration of the mesh; one of a revision has that in its name. */
export const meshResource = (namespace: string): Resource => ({
  group: '',
  version: 'v1',
  plural: 'configmaps',
  namespace,
  fieldSelector: `metadata.name=${meshConfigMap}`,
});

export function meshHandler({ discovery, catalog }: State, changed: Changed): WatchHandler {
  function select(mesh: string): void {
    try {
      discovery.selectors = readDiscoverySelectors(mesh);
    } catch (cause) {
      const remedy = 'mend its key mesh; until then the discoverySelectors of before hold';
      throw new Error(`ConfigMap istio is not a MeshConfig: ${remedy}`, { cause });
    }
  }
  return {
    upsert(object) {
      select(object.data?.mesh ?? '');
      catalog.upsert(object);
      changed.all();
    },
    remove(object) {
      select('');
      catalog.remove(object);
      changed.all();
    },
  };
}
