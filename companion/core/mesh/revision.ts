import type { KubeObject } from '../../kube/object.ts';

/**
 * Several istiods may serve one cluster, each under the name of its revision. Each has its own mesh
 * configuration, and reads Istio objects for all revisions or for its own.
 */

/** Name of an istiod without a revision name. */
export const defaultRevision = 'default';

const key = 'istio.io/rev';

/** The revision that an Istio object applies to; undefined: all. */
export function revisionLabelOf({ metadata }: KubeObject): string | undefined {
  return metadata.labels?.[key];
}

/**
 * Whether istiod of a revision takes in an object with this label (pkg/config/model.go,
 * LabelsInRevision).
 */
export function isTakenIn(label: string | undefined, revision: string): boolean {
  return label === undefined || label === revision;
}

/**
 * The revision of the istiod that configures a pod's proxy, from the injector's annotation. The
 * labels of pod and namespace may name a tag instead, and the tag may have moved since.
 */
export function revisionOfPod({ metadata }: KubeObject): string {
  return metadata.annotations?.[key] || defaultRevision;
}

/** Name of the ConfigMap in Istio's root namespace that the default revision reads. */
const unrevisioned = 'istio';

/**
 * Name of the ConfigMap that a revision reads (pilot/pkg/bootstrap/mesh.go, getMeshConfigMapName).
 */
export function meshConfigMapOf(revision: string): string {
  return revision === defaultRevision ? unrevisioned : `${unrevisioned}-${revision}`;
}

/** The revision that reads a ConfigMap of this name. */
export function revisionOfConfigMap(name: string): string {
  return name === unrevisioned ? defaultRevision : name.slice(unrevisioned.length + 1);
}

/**
 * The configuration of a revision; if its ConfigMap is missing or not read, that of the default
 * revision.
 */
export function forRevision<Value>(
  byRevision: ReadonlyMap<string, Value>,
  revision: string,
): Value | undefined {
  return byRevision.get(revision) ?? byRevision.get(defaultRevision);
}
