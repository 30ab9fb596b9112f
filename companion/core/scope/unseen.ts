import type { Catalog } from '../mesh/catalog.ts';
import { selects } from '../mesh/label-selector.ts';
import type { Workload } from './workload.ts';

/**
 * A machine outside of Kubernetes whose proxy a Sidecar would narrow too, because it has the labels
 * of the pods. The machine has no filter, so its calls to other hosts would fail without being
 * seen. istiod compares only labels and namespace (pilot/pkg/model/push_context.go,
 * getSidecarScope).
 */
export function unseenProxy(
  catalog: Pick<Catalog, 'workloadEntriesIn' | 'workloadGroupsIn'>,
  { namespace, selector }: Workload,
): string | undefined {
  // Machines get this label when they connect, from `app` or a name; who has all others may have it
  // too.
  const { 'service.istio.io/canonical-name': _, ...rest } = selector;
  const isSelected = ({ labels }: { labels: Workload['selector'] }) => selects(rest, labels);
  const entry = catalog
    .workloadEntriesIn(namespace)
    .find((each) => each.hasProxy && isSelected(each));
  if (entry) return `WorkloadEntry ${entry.name}`;
  const group = catalog.workloadGroupsIn(namespace).find(isSelected);
  return group && `WorkloadGroup ${group.name}`;
}
