import { selects } from '../core/mtls.ts';
import type { PodRecord } from '../core/records.ts';
import type { KubeObject, Resource } from '../kube.ts';

/**
 * Where the filter is installed: without one of these objects the proxies of a namespace see no first
 * call, or cannot steer it, so nothing there may be narrowed.
 */
export type Filters = {
  upsert(object: KubeObject): void;
  remove(object: KubeObject): void;
  /**
   * `Kind name` of what is not there, or is for other pods only; nothing while nobody watches, as outside
   * of a cluster.
   */
  missing(namespace: string, pods: readonly PodRecord[]): string[];
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

type Labels = Readonly<Record<string, string>>;

/** The pods that a part is for; no labels mean all of its namespace. */
function selectorOf({ spec }: KubeObject): Labels {
  return spec?.selector?.matchLabels ?? spec?.workloadSelector?.labels ?? {};
}

function isFor(pods: readonly PodRecord[], selector: Labels | undefined): boolean {
  return selector !== undefined && pods.every(({ labels }) => selects(selector, labels));
}

export function createFilters(): Filters {
  const found = new Map<string, Map<string, Labels>>();
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
      const here = found.get(namespace) ?? new Map<string, Labels>();
      found.set(namespace, here.set(partOf(object), selectorOf(object)));
    },
    remove,
    missing: (namespace, pods) =>
      isWatched ? parts.filter((part) => !isFor(pods, found.get(namespace)?.get(part))) : [],
    watched() {
      isWatched = true;
    },
  };
}
