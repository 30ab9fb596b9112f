import type { FirstCall } from '../../core/first-call/strategy.ts';
import { type DiscoverySelectors, isDiscovered } from '../../core/mesh/discovery.ts';
import { forRevision } from '../../core/mesh/revision.ts';
import { type Mode, modeLabel, parseMode } from '../../core/scope/condition.ts';
import { type LearningSource, sourceInForce, sourceLabel } from '../../core/scope/source.ts';
import { parseFirstCall } from '../../core/scope/workload-scope.ts';
import type { KubeObject } from '../../kube/object.ts';

export type NamespaceRecord = {
  labels: Readonly<Record<string, string>>;
  /** The label as written; undefined without a label: not enabled. */
  label: string | undefined;
  mode: Mode | undefined;
  /** The source in force; undefined if the label is a mistake and no source was known before. */
  source: LearningSource | undefined;
  firstCall: FirstCall | undefined;
  /** Its pods are in the ambient mesh, where Sidecars have no effect. */
  ambient: boolean;
  /** Being deleted: no object can be created in it. */
  terminating: boolean;
};

export const firstCallAnnotation = 'lazyscope.io/first-call';

/** `before`: the earlier record of the namespace, whose source a mistake in the label keeps. */
export function readNamespace({ metadata }: KubeObject, before?: NamespaceRecord): NamespaceRecord {
  const label = metadata.labels?.[modeLabel];
  return {
    labels: metadata.labels ?? {},
    label,
    mode: parseMode(label),
    source: sourceInForce(metadata.labels?.[sourceLabel], before?.source),
    ambient: metadata.labels?.['istio.io/dataplane-mode'] === 'ambient',
    terminating: metadata.deletionTimestamp !== undefined,
    firstCall: parseFirstCall(metadata.annotations?.[firstCallAnnotation]),
  };
}

export type Discovery = {
  namespaces: Map<string, NamespaceRecord>;
  /** The namespaces that istiod watches, by its revision. */
  discovery: Map<string, DiscoverySelectors>;
};

export function looksAt(
  { namespaces, discovery }: Discovery,
  revision: string,
  name: string,
): boolean {
  return isDiscovered(forRevision(discovery, revision) ?? [], namespaces.get(name)?.labels ?? {});
}
