import { type MeshConfig, noMeshConfig } from './mesh-config.ts';
import type { PodRecord, Visible } from './records.ts';
import { defaultRevision, forRevision, isTakenIn } from './revision.ts';

/** Whether istiod of a revision looks at a namespace (core/discovery.ts); what is in others is nothing to it. */
export type LooksAt = (revision: string, namespace: string) => boolean;

/** Who sees what, by `exportTo`, the configuration of the mesh and the revision of istiod. */
export type Visibility = {
  /** By revision. */
  configs: Map<string, MeshConfig>;
  /** Revisions of istiod that configure the sidecars of a namespace; none where it has no sidecar. */
  revisionsIn(namespace: string): readonly string[];
  /** Must be called whenever a pod of the namespace came or went. */
  podsChanged(namespace: string): void;
  /** Whether an object is seen from a namespace. */
  isVisible(object: Visible, from: string): boolean;
};

export function createVisibility(
  podsIn: (namespace: string) => readonly PodRecord[],
  looksAt: LooksAt,
): Visibility {
  const configs = new Map<string, MeshConfig>();
  const revisions = new Map<string, readonly string[]>();

  function revisionsIn(namespace: string): readonly string[] {
    const known = revisions.get(namespace);
    if (known) return known;
    const sidecars = podsIn(namespace).filter((pod) => pod.hasSidecar && pod.running);
    const found = [...new Set(sidecars.map(({ revision }) => revision))].sort();
    if (found.length > 0) revisions.set(namespace, found);
    return found;
  }

  return {
    configs,
    revisionsIn,
    podsChanged: (namespace) => void revisions.delete(namespace),
    // Under several revisions one is enough: to import what a proxy does not see costs nothing, to leave out
    // what it sees costs every call.
    isVisible({ kind, namespace, exportTo, revision }, from) {
      const found = revisionsIn(from);
      return (found.length > 0 ? found : [defaultRevision]).some((each) => {
        if (!isTakenIn(revision, each) || !looksAt(each, namespace)) return false;
        const defaults = (forRevision(configs, each) ?? noMeshConfig).exportTo;
        const to = exportTo ?? defaults[kind === 'entry' ? 'service' : kind];
        return to.length === 0 || to.includes(from) || (to.includes('.') && namespace === from);
      });
    },
  };
}
