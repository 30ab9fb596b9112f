import { selects } from '../mesh/label-selector.ts';
import type { PodRecord } from '../mesh/pod-record.ts';
import type { Workload } from './workload.ts';

/** The workloads of a namespace that may have taken over the pods of scopes without their own. */
export type Successors = {
  /** Names of all owners of pods. */
  owners: ReadonlySet<string>;
  /** Whether the owner of a scope, or a pod that its Sidecar selects, belongs to a workload. */
  has(scope: { name: string; selector: Readonly<Record<string, string>> }): boolean;
};

/**
 * Indexes the workloads once. Every pass asks for each scope whose workload is gone, and there may
 * be thousands of both in a namespace, so an answer looks only at the pods with the rarest label of
 * the selector.
 */
export function createSuccessors(workloads: readonly Workload[]): Successors {
  const owners = new Set(workloads.flatMap((workload) => workload.owners));
  let byLabel: Map<string, PodRecord[]> | undefined;

  function podsWith(label: string): readonly PodRecord[] {
    byLabel ??= indexed(workloads);
    return byLabel.get(label) ?? [];
  }

  return {
    owners,
    has({ name, selector }) {
      if (owners.has(name)) return true;
      const [rarest = []] = Object.entries(selector)
        .map((label) => podsWith(label.join('=')))
        .sort((a, b) => a.length - b.length);
      return rarest.some(({ labels }) => selects(selector, labels));
    },
  };
}

function indexed(workloads: readonly Workload[]): Map<string, PodRecord[]> {
  const byLabel = new Map<string, PodRecord[]>();
  for (const pod of workloads.flatMap(({ pods }) => pods)) {
    for (const entry of Object.entries(pod.labels)) {
      const label = entry.join('=');
      const pods = byLabel.get(label);
      if (pods) pods.push(pod);
      else byLabel.set(label, [pod]);
    }
  }
  return byLabel;
}
