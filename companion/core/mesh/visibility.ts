import { cappedExports } from './entry-visibility.ts';
import { type MeshConfig, noMeshConfig } from './mesh-config.ts';
import type { PodRecord } from './pod-record.ts';
import type { ExportTo, Visible } from './records.ts';
import type { RetryPolicy } from './retry-policy.ts';
import { defaultRevision, forRevision, isTakenIn } from './revision.ts';
import type { ServiceReference } from './service-reference.ts';

/**
 * Whether istiod of a revision watches a namespace (core/mesh/discovery.ts); it ignores other
 * namespaces.
 */
export type LooksAt = (revision: string, namespace: string) => boolean;

/** Labels of a namespace; none if it is unknown. */
export type LabelsOf = (namespace: string) => Readonly<Record<string, string>>;

/** Who sees which objects, by `exportTo`, the mesh configuration and the revision of istiod. */
export type Visibility = {
  /** By revision. */
  configs: Map<string, MeshConfig>;
  /** Revisions of istiod that configure the sidecars of a namespace; none if it has no sidecar. */
  revisionsIn(namespace: string): readonly string[];
  /** Must be called whenever a pod of the namespace was added or removed. */
  podsChanged(namespace: string): void;
  /** Whether an object is seen from a namespace. */
  isVisible(object: Visible, from: string): boolean;
  /** The same for one revision of istiod. */
  isVisibleUnder(object: Visible, from: string, revision: string): boolean;
  /** To whom istiod of a revision exports an object; undefined if it ignores the object. */
  exportsUnder(object: Visible, revision: string): ExportTo | undefined;
  /** Labels of namespaces decide who sees their objects. */
  readsLabels(): boolean;
  /** Every istiod whose mesh configuration is known exports the object to all namespaces. */
  isPublic(object: Visible): boolean;
  /**
   * To whom an object is exported, by itself or by the mesh's default, as istiod of the namespace
   * `from` decides; undefined if that istiod ignores the object.
   */
  exportsOf(object: Visible, from: string): ExportTo | undefined;
  /** Other names of the trust domain for the sidecars of a namespace. */
  trustDomainAliasesIn(namespace: string): readonly string[];
  /**
   * Whether sidecars of a namespace use mutual TLS by themselves (`enableAutoMtls`), in doubt yes.
   */
  autoMtlsIn(namespace: string): boolean;
  /**
   * The mesh's retry policy for the sidecars of a namespace; undefined: none, or it differs between
   * the revisions of istiod there.
   */
  retriesIn(namespace: string): RetryPolicy | undefined;
  /** Services of the extension providers that sidecars of a namespace may be told to call. */
  providersIn(namespace: string): readonly ServiceReference[];
  /**
   * The mesh configuration of some revision has several networks, and so clusters besides this one.
   */
  hasOtherNetworks(): boolean;
};

export function createVisibility(
  podsIn: (namespace: string) => readonly PodRecord[],
  looksAt: LooksAt,
  labelsOf: LabelsOf,
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

  const revisionsFor = (namespace: string): readonly string[] => {
    const found = revisionsIn(namespace);
    return found.length > 0 ? found : [defaultRevision];
  };

  const configOf = (revision: string) => forRevision(configs, revision) ?? noMeshConfig;

  function exportsUnder(object: Visible, revision: string): ExportTo | undefined {
    const { kind, namespace, exportTo } = object;
    if (!isTakenIn(object.revision, revision) || !looksAt(revision, namespace)) return undefined;
    const { exportTo: defaults, entryVisibility } = configOf(revision);
    const to = exportTo ?? defaults[kind === 'entry' ? 'service' : kind];
    if (kind !== 'entry' || !entryVisibility) return to;
    return cappedExports(entryVisibility, to, namespace, labelsOf(namespace));
  }

  function isVisibleUnder(object: Visible, from: string, revision: string): boolean {
    const to = exportsUnder(object, revision);
    return to !== undefined && admits(to, object, from);
  }

  function exportsOf(object: Visible, from: string): ExportTo | undefined {
    const lists = revisionsFor(from).flatMap((each) => {
      const to = exportsUnder(object, each);
      return to ? [to] : [];
    });
    return lists.find((to) => admits(to, object, from)) ?? lists[0];
  }

  return {
    configs,
    revisionsIn,
    podsChanged: (namespace) => void revisions.delete(namespace),
    exportsUnder,
    readsLabels: () => [...configs.values()].some(({ entryVisibility }) => entryVisibility),
    isPublic: (object) =>
      [defaultRevision, ...configs.keys()].every(
        (revision) => exportsUnder(object, revision)?.length === 0,
      ),
    exportsOf,
    // With several revisions, one is enough: importing a host that a proxy does not see costs
    // nothing, but omitting a host that it sees costs every call.
    isVisible: (object, from) =>
      revisionsFor(from).some((revision) => isVisibleUnder(object, from, revision)),
    isVisibleUnder,
    hasOtherNetworks: () => [...configs.values()].some(({ hasNetworks }) => hasNetworks),
    trustDomainAliasesIn: (namespace) =>
      revisionsFor(namespace).flatMap((each) => configOf(each).trustDomainAliases),
    autoMtlsIn: (namespace) => revisionsFor(namespace).some((each) => configOf(each).autoMtls),
    retriesIn(namespace) {
      const [first, ...others] = revisionsFor(namespace).map((each) => configOf(each).retries);
      const text = JSON.stringify(first);
      return others.every((each) => JSON.stringify(each) === text) ? first : undefined;
    },
    providersIn: (namespace) => revisionsFor(namespace).flatMap((each) => configOf(each).providers),
  };
}

function admits(to: ExportTo, { namespace }: Visible, from: string): boolean {
  return to.length === 0 || to.includes(from) || (to.includes('.') && namespace === from);
}
