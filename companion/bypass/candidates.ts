import type { Kube, KubeObject, Watch } from '../kube/object.ts';
import { type Candidate, isNodeOptedIn, readCandidate } from './policy.ts';

/** Whether the node takes part, and its pods that opted in. */
export type Candidates = {
  optedIn(): boolean;
  all(): Candidate[];
  stop(): void;
};

/** Follows the API server; calls `changed` after each relevant change. */
export function watchCandidates(
  kube: Pick<Kube, 'watch'>,
  nodeName: string,
  changed: () => void,
): Candidates {
  const pods = new Map<string, Candidate>();
  let optedIn = false;
  const setOptedIn = (value: boolean) => {
    if (optedIn === value) return;
    optedIn = value;
    changed();
  };
  const remove = (pod: KubeObject) => {
    if (pods.delete(pod.metadata.uid ?? '')) changed();
  };
  const core = { group: '', version: 'v1', cached: true } as const;
  const watches: Watch[] = [
    kube.watch(
      { ...core, plural: 'nodes', fieldSelector: `metadata.name=${nodeName}` },
      {
        upsert: (node) => setOptedIn(isNodeOptedIn(node)),
        remove: () => setOptedIn(false),
      },
    ),
    kube.watch(
      { ...core, plural: 'pods', fieldSelector: `spec.nodeName=${nodeName}` },
      {
        upsert(pod) {
          const candidate = readCandidate(pod);
          if (!candidate) return remove(pod);
          pods.set(candidate.uid, candidate);
          changed();
        },
        remove,
      },
    ),
  ];
  return {
    optedIn: () => optedIn,
    all: () => [...pods.values()],
    stop() {
      for (const watch of watches) watch.stop();
    },
  };
}
