import { selects } from '../../core/mesh/label-selector.ts';
import type { PodRecord } from '../../core/mesh/pod-record.ts';
import { isTakenIn, revisionLabelOf } from '../../core/mesh/revision.ts';
import type { BlindCalls } from '../../core/scope/blind.ts';
import type { LearningSource } from '../../core/scope/source.ts';
import type { KubeObject, Resource } from '../../kube/object.ts';

/**
 * Where the filter is installed, or what namespaces with the source `access-log` have instead.
 * Without one of these objects the proxies of a namespace do not see first calls, or cannot route
 * them, so nothing there may be narrowed.
 */
export type InstalledFilter = {
  upsert(object: KubeObject): void;
  remove(object: KubeObject): void;
  /**
   * `Kind name` of a missing part, or one that excludes pods; none while nothing is watched, as
   * outside of a cluster, or if a mistake in its label leaves the source of a namespace unknown.
   */
  missing(namespace: string, pods: readonly PodRecord[]): string[];
  /** Pods that the selector of a part excludes, although all parts exist. */
  leftOut(namespace: string, pods: readonly PodRecord[]): PodRecord[];
  /** What becomes of unknown calls of a namespace with the source `access-log`. */
  blindCalls(namespace: string): BlindCalls | undefined;
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
const partsOf: Readonly<Record<LearningSource, readonly string[]>> = {
  wasm: ['EnvoyFilter lazyscope', 'WasmPlugin lazyscope', 'WasmPlugin lazyscope-tcp'],
  'access-log': ['EnvoyFilter lazyscope-access-log'],
};
const known = new Set(Object.values(partsOf).flat());

/** Annotations of `EnvoyFilter lazyscope-access-log`, filled like the addresses in its patches. */
const cidrAnnotation = 'lazyscope.io/service-cidr';
const plainAnnotation = 'lazyscope.io/plain-addresses';
/** `secondServiceCidr` of a cluster with one range. */
const noRange = 'none/0';

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
  blind: BlindCalls;
};

function readPart(object: KubeObject): Part {
  const { metadata, spec } = object;
  const selector = spec?.selector?.matchLabels ?? spec?.workloadSelector?.labels ?? {};
  const listed = (annotation: string, between: RegExp) =>
    (metadata.annotations?.[annotation] ?? '').split(between).filter((each) => each !== '');
  const blind = {
    serviceCidrs: listed(cidrAnnotation, /[\s,]+/).filter((each) => each !== noRange),
    plainAddresses: listed(plainAnnotation, /[\s|]+/),
  };
  return { selector, revision: revisionLabelOf(object), sha256: spec?.sha256, blind };
}

function isFor(pods: readonly PodRecord[], part: Part | undefined): boolean {
  return (
    part !== undefined &&
    pods.every(
      (pod) => selects(part.selector, pod.labels) && isTakenIn(part.revision, pod.revision),
    )
  );
}

/** `sourceOf` is the source in force in a namespace. */
export function createInstalledFilter(
  sourceOf: (namespace: string) => LearningSource | undefined = () => 'wasm',
): InstalledFilter {
  const found = new Map<string, Map<string, Part>>();
  let isWatched = false;
  let isTooOld = false;
  const partOf = ({ kind, metadata }: KubeObject) => `${kind} ${metadata.name}`;
  const neededIn = (namespace: string): readonly string[] => {
    const source = sourceOf(namespace);
    return source ? partsOf[source] : [];
  };

  function remove(object: KubeObject): void {
    const namespace = object.metadata.namespace ?? '';
    const here = found.get(namespace);
    here?.delete(partOf(object));
    if (here?.size === 0) found.delete(namespace);
  }

  return {
    upsert(object) {
      if (!known.has(partOf(object))) return;
      // Another owner's finalizer delays the deletion, but the object is about to go.
      if (object.metadata.deletionTimestamp) return remove(object);
      const namespace = object.metadata.namespace ?? '';
      const here = found.get(namespace) ?? new Map<string, Part>();
      found.set(namespace, here.set(partOf(object), readPart(object)));
    },
    remove,
    missing: (namespace, pods) =>
      isWatched
        ? neededIn(namespace).filter((part) => !isFor(pods, found.get(namespace)?.get(part)))
        : [],
    leftOut(namespace, pods) {
      const here = neededIn(namespace).map((part) => found.get(namespace)?.get(part));
      if (!isWatched || here.includes(undefined)) return [];
      return pods.filter((pod) => !here.every((part) => isFor([pod], part)));
    },
    blindCalls(namespace) {
      if (sourceOf(namespace) !== 'access-log') return undefined;
      const [name = ''] = partsOf['access-log'];
      return found.get(namespace)?.get(name)?.blind;
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
