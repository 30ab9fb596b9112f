import { bothWays, type Kind } from './indexed-kind.ts';
import { createMultimap } from './multimap.ts';
import { type PodRecord, readPod } from './pod-record.ts';
import {
  readWorkloadEntry,
  readWorkloadGroup,
  type WorkloadGroupRecord,
  type WorkloadRecord,
} from './workload-entry.ts';

/** Pods, and machines outside of Kubernetes. */
export type WorkloadTable = {
  kinds: Record<'Pod' | 'WorkloadEntry' | 'WorkloadGroup', Kind>;
  podAt(ip: string): PodRecord | undefined;
  pod(namespace: string, name: string): PodRecord | undefined;
  /** Pods, and machines outside of Kubernetes, that are reached by HBONE alone. */
  captured(): Iterable<PodRecord | WorkloadRecord>;
  podsIn(namespace: string): readonly PodRecord[];
  workloadEntriesIn(namespace: string): readonly WorkloadRecord[];
  workloadGroupsIn(namespace: string): readonly WorkloadGroupRecord[];
  sizes(): Record<string, number>;
};

/** `podsChanged` is called whenever a pod of a namespace came or went. */
export function createWorkloadTable(podsChanged: (namespace: string) => void): WorkloadTable {
  const podsByIp = createMultimap<PodRecord>();
  const podsByNamespace = createMultimap<PodRecord>();
  const podsByName = new Map<string, PodRecord>();
  const captured = new Set<PodRecord | WorkloadRecord>();
  const entries = createMultimap<WorkloadRecord>();
  const groups = createMultimap<WorkloadGroupRecord>();

  function touch(verb: 'add' | 'remove', pod: PodRecord): void {
    const key = `${pod.namespace}/${pod.name}`;
    if (verb === 'add') podsByName.set(key, pod);
    else podsByName.delete(key);
    if (pod.isCaptured) captured[verb === 'add' ? 'add' : 'delete'](pod);
    podsByNamespace[verb](pod.namespace, pod);
    podsChanged(pod.namespace);
    for (const ip of pod.ips) podsByIp[verb](ip, pod);
  }

  return {
    kinds: {
      Pod: bothWays(readPod, touch),
      WorkloadEntry: bothWays(readWorkloadEntry, (verb, record: WorkloadRecord) => {
        if (record.isCaptured) captured[verb === 'add' ? 'add' : 'delete'](record);
        entries[verb](record.namespace, record);
      }),
      WorkloadGroup: bothWays(readWorkloadGroup, (verb, record: WorkloadGroupRecord) =>
        groups[verb](record.namespace, record),
      ),
    },
    // A finished pod keeps its address in its status, while another pod may already have the
    // address.
    podAt: (ip) => podsByIp.get(ip).find((pod) => pod.running) ?? podsByIp.get(ip)[0],
    pod: (namespace, name) => podsByName.get(`${namespace}/${name}`),
    captured: () => captured,
    podsIn: podsByNamespace.get,
    workloadEntriesIn: entries.get,
    workloadGroupsIn: groups.get,
    sizes: () => ({
      pods: podsByName.size,
      podAddresses: podsByIp.size(),
      podNamespaces: podsByNamespace.size(),
      workloadEntries: entries.size(),
      workloadGroups: groups.size(),
    }),
  };
}
