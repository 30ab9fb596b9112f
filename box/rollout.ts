import { readObject } from './cluster-objects.ts';

type Workload = {
  kind: string;
  metadata: { name: string; generation: number };
  spec: { replicas?: number };
  status: Record<string, number | string | undefined>;
};

const kinds = ['deployments', 'statefulsets', 'daemonsets'];

/**
 * The unfinished rollouts, each with its progress. A rollout is finished when all pods of the
 * newest template are ready and no other pod is left. minReadySeconds, which paces a rollout, does
 * not count after the last pod.
 */
export async function unfinished(namespace: string): Promise<string[]> {
  const lists = await Promise.all(
    kinds.map((kind) => readObject(`/apis/apps/v1/namespaces/${namespace}/${kind}`)),
  );
  return lists.flatMap((list) => (list as { items: Workload[] }).items).flatMap(unfinishedReasons);
}

/** Why a workload is not rolled out, by the fields of `kubectl rollout status`. */
export function unfinishedReasons({ kind, metadata, spec, status }: Workload): string[] {
  const number = (field: string) => Number(status[field] ?? 0);
  const isDaemonSet = kind === 'DaemonSet';
  const wanted = isDaemonSet ? number('desiredNumberScheduled') : (spec.replicas ?? 1);
  const [fresh, ready, all] = isDaemonSet
    ? [number('updatedNumberScheduled'), number('numberReady'), wanted]
    : [number('updatedReplicas'), number('readyReplicas'), number('replicas')];
  // A StatefulSet resets its count of updated pods when all are updated.
  const isSame = kind === 'StatefulSet' && status.currentRevision === status.updateRevision;
  const updated = isSame ? all : fresh;
  const seen = number('observedGeneration') >= metadata.generation;
  if (seen && updated === wanted && ready === wanted && all === wanted) return [];
  const state = `${updated} updated, ${ready} ready, ${all} in all`;
  return [`${kind} ${metadata.name}: ${wanted} wanted, ${seen ? state : 'not observed yet'}`];
}
