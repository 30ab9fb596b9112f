import type { FirstCall } from '../../core/first-call/strategy.ts';
import { type DiscoverySelectors, isDiscovered } from '../../core/mesh/discovery.ts';
import { forRevision } from '../../core/mesh/revision.ts';
import { type Mode, modeLabel, parseMode } from '../../core/scope/condition.ts';
import { parseFirstCall } from '../../core/scope/workload-scope.ts';
import type { KubeObject } from '../../kube/object.ts';

export type NamespaceRecord = {
  labels: Readonly<Record<string, string>>;
  /** The label as it is written; undefined where there is none: not enabled. */
  label: string | undefined;
  mode: Mode | undefined;
  firstCall: FirstCall | undefined;
  /** Its pods are in the ambient mesh, where sidecars have no say. */
  ambient: boolean;
  /** Being deleted: nothing can be made in it any more. */
  terminating: boolean;
};

export const firstCallAnnotation = 'lazyscope.io/first-call';

export function readNamespace({ metadata }: KubeObject): NamespaceRecord {
  const label = metadata.labels?.[modeLabel];
  return {
    labels: metadata.labels ?? {},
    label,
    mode: parseMode(label),
    ambient: metadata.labels?.['istio.io/dataplane-mode'] === 'ambient',
    terminating: metadata.deletionTimestamp !== undefined,
    firstCall: parseFirstCall(metadata.annotations?.[firstCallAnnotation]),
  };
}

export type Discovery = {
  namespaces: Map<string, NamespaceRecord>;
  /** Which namespaces istiod looks at, by its revision. */
  discovery: Map<string, DiscoverySelectors>;
};

export function looksAt(
  { namespaces, discovery }: Discovery,
  revision: string,
  name: string,
): boolean {
  return isDiscovered(forRevision(discovery, revision) ?? [], namespaces.get(name)?.labels ?? {});
}
