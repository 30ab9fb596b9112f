import { selects } from '../../core/mesh/label-selector.ts';
import type { PodRecord } from '../../core/mesh/pod-record.ts';
import { isTakenIn, revisionLabelOf } from '../../core/mesh/revision.ts';
import type { KubeObject, Resource } from '../../kube/object.ts';

/**
 * Where the filter is installed. Without one of these objects the proxies of a namespace do not see
 * first calls, or cannot route them, so nothing there may be narrowed.
 */
export type InstalledFilter = {
  upsert(object: KubeObject): void;
  remove(object: KubeObject): void;
  /**
   * `Kind name` of a missing part, or one that excludes pods; none while nothing is watched, as
   * outside of a cluster.
   */
  missing(namespace: string, pods: readonly PodRecord[]): string[];
  /** Pods that the selector of a part excludes, although all parts exist. */
  leftOut(namespace: string, pods: readonly PodRecord[]): PodRecord[];
  /** Digests of the filters that proxies of the namespace load when they start. */
  pinned(namespace: string): string[];
  /** From now on, parts that were not seen are missing. */
  watched(): void;
  /**
   * Whether Istio is older than 1.30, which gives the filter of TCP another name than the
   * EnvoyFilter moves: the API server has no definition of TrafficExtension.
   */
  isIstioTooOld(): boolean;
  /** Returns whether that differs from what was known. */
  setIstioTooOld(isTooOld: boolean): boolean;
};

/** Names in the manifests of a namespace; the EnvoyFilter refers to the plugins by name. */
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
  /**
   * The pods that it applies to: no labels mean all pods of its namespace, no revision means any.
   */
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
  let isTooOld = false;
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
      // Another owner's finalizer delays the deletion, but the object is about to go.
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
    isIstioTooOld: () => isTooOld,
    setIstioTooOld(value) {
      const before = isTooOld;
      isTooOld = value;
      return before !== value;
    },
  };
}
