import { selects } from '../../core/mesh/label-selector.ts';
import type { PodRecord } from '../../core/mesh/pod-record.ts';
import { isTakenIn, revisionLabelOf } from '../../core/mesh/revision.ts';
import type { KubeObject, Resource } from '../../kube/object.ts';

/**
 * Where the filter is installed: without one of these objects the proxies of a namespace see no
 * first call, or cannot steer it, so nothing there may be narrowed.
 */
export type InstalledFilter = {
  upsert(object: KubeObject): void;
  remove(object: KubeObject): void;
  /**
   * `Kind name` of what is not there, or is for other pods only; nothing while nobody watches, as
   * outside of a cluster.
   */
  missing(namespace: string, pods: readonly PodRecord[]): string[];
  /** Pods that the selector of a part leaves out, though all parts are there. */
  leftOut(namespace: string, pods: readonly PodRecord[]): PodRecord[];
  /** Digests of the filters that proxies of the namespace load when they start. */
  pinned(namespace: string): string[];
  /** From now on, what was not told of is missing. */
  watched(): void;
};

/**
 * Names that the manifests of a namespace give; the EnvoyFilter refers to the plugins by theirs.
 */
const parts = ['EnvoyFilter lazyscope', 'WasmPlugin lazyscope', 'WasmPlugin lazyscope-tcp'];

export const filterResources: Resource[] = [
  {
    group: 'networking.istio.io',
    version: 'v1alpha3',
    plural: 'envoyfilters',
  },
  { group: 'extensions.istio.io', version: 'v1alpha1', plural: 'wasmplugins' },
];

type Part = {
  /** The pods that it is for: no labels mean all of its namespace, no revision means any. */
  selector: Readonly<Record<string, string>>;
  revision: string | undefined;
  /** Digest of the filter that agents may load. */
  sha256: string | undefined;
};

function readPart(object: KubeObject): Part {
  const { spec } = object;
  const selector = spec?.selector?.matchLabels ?? spec?.workloadSelector?.labels ?? {};
  return { selector, revision: revisionLabelOf(object), sha256: spec?.sha256 };
}

function isFor(pods: readonly PodRecord[], part: Part | undefined): boolean {
  return (
    part !== undefined &&
    pods.every(
      (pod) => selects(part.selector, pod.labels) && isTakenIn(part.revision, pod.revision),
    )
  );
}

export function createInstalledFilter(): InstalledFilter {
  const found = new Map<string, Map<string, Part>>();
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
      const here = found.get(namespace) ?? new Map<string, Part>();
      found.set(namespace, here.set(partOf(object), readPart(object)));
    },
    remove,
    missing: (namespace, pods) =>
      isWatched ? parts.filter((part) => !isFor(pods, found.get(namespace)?.get(part))) : [],
    leftOut(namespace, pods) {
      const here = parts.map((part) => found.get(namespace)?.get(part));
      if (!isWatched || here.includes(undefined)) return [];
      return pods.filter((pod) => !here.every((part) => isFor([pod], part)));
    },
    pinned: (namespace) =>
      [...(found.get(namespace)?.values() ?? [])].flatMap(({ sha256 }) => sha256 ?? []),
    watched() {
      isWatched = true;
    },
  };
}
