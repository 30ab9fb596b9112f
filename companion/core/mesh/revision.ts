import type { KubeObject } from '../../kube/object.ts';

/**
 * Several istiods may serve one cluster, each under the name of its revision. Each has a
 * configuration of the mesh of its own, and takes in objects of Istio that are for all revisions or
 * for its own.
 */

/** Name that an istiod has which was given none. */
export const defaultRevision = 'default';

const key = 'istio.io/rev';

/** The revision that an object of Istio is for; undefined: for all. */
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
 * Of the istiod that configures the proxy of a pod, by the annotation of its injector. The labels
 * of pod and namespace may name a tag instead, and what a tag stands for may have changed since.
 */
export function revisionOfPod({ metadata }: KubeObject): string {
  return metadata.annotations?.[key] || defaultRevision;
}

/** Name of the ConfigMap in Istio's root namespace that the default revision reads. */
const unrevisioned = 'istio';

/** Name of the one that a revision reads (pilot/pkg/bootstrap/mesh.go, getMeshConfigMapName). */
export function meshConfigMapOf(revision: string): string {
  return revision === defaultRevision ? unrevisioned : `${unrevisioned}-${revision}`;
}

/** The revision that reads a ConfigMap of such a name. */
export function revisionOfConfigMap(name: string): string {
  return name === unrevisioned ? defaultRevision : name.slice(unrevisioned.length + 1);
}

/**
 * What holds for a revision; where its ConfigMap is not read or not there, that of the default one.
 */
export function forRevision<Value>(
  byRevision: ReadonlyMap<string, Value>,
  revision: string,
): Value | undefined {
  return byRevision.get(revision) ?? byRevision.get(defaultRevision);
}
