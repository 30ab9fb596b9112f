import type { KubeObject, Resource } from '../kube.ts';

/**
 * Where the filter is installed: without one of these objects the proxies of a namespace see no first
 * call, or cannot steer it, so nothing there may be narrowed.
 */
export type Filters = {
  upsert(object: KubeObject): void;
  remove(object: KubeObject): void;
  /** `Kind name` of what is not there; nothing while nobody watches, as outside of a cluster. */
  missing(namespace: string): string[];
  /** From now on, what was not told of is missing. */
  watched(): void;
};

/** Names that the manifests of a namespace give; the EnvoyFilter refers to the plugins by theirs. */
const parts = ['EnvoyFilter lazyscope', 'WasmPlugin lazyscope', 'WasmPlugin lazyscope-tcp'];

export const filterResources: Resource[] = [
  {
    group: 'networking.istio.io',
    version: 'v1alpha3',
    plural: 'envoyfilters',
    // Those of others can be many and large.
    fieldSelector: 'metadata.name=lazyscope',
  },
  { group: 'extensions.istio.io', version: 'v1alpha1', plural: 'wasmplugins' },
];

export function createFilters(): Filters {
  const found = new Map<string, Set<string>>();
  let isWatched = false;
  const partOf = ({ kind, metadata }: KubeObject) => `${kind} ${metadata.name}`;

  function remove(object: KubeObject): void {
    const namespace = object.metadata.namespace ?? '';
    const here = found.get(namespace);
    here?.delete(partOf(object));
    if (here?.size === 0) found.delete(namespace);
  }

  return {
    upsert(object) {
      if (!parts.includes(partOf(object))) return;
      // Held by a finalizer of somebody else, it is about to go all the same.
      if (object.metadata.deletionTimestamp) return remove(object);
      const namespace = object.metadata.namespace ?? '';
      found.set(namespace, (found.get(namespace) ?? new Set()).add(partOf(object)));
    },
    remove,
    missing: (namespace) =>
      isWatched ? parts.filter((part) => !found.get(namespace)?.has(part)) : [],
    watched() {
      isWatched = true;
    },
  };
}
