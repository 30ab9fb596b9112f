import { createQuota } from '../../bounds/quota.ts';
import type { ProxyGone } from '../../contract/rpc.ts';
import type { Catalog } from '../../core/mesh/catalog.ts';
import type { PodRecord } from '../../core/mesh/pod-record.ts';
import type { ControllerMetrics } from '../metrics.ts';

/**
 * Pods that a node reported before this replica's watch knew them; the node is asked again
 * afterwards.
 */
export type AwaitedPods = {
  add(node: string, pod: ProxyGone): void;
  /** The pods that are known by now; each once. */
  takeArrived(): { namespace: string; pod: string }[];
};

/**
 * Pods that a node reported before the watch knew them. The watch is late by seconds; thousands at
 * once would mean a made-up list. The bound per node is the number of pods that start on it at
 * once, so that one node leaves room for others.
 */
const awaitedMax = { all: 10_000, node: 256 };
const awaitedMs = 60_000;

type Awaited = ProxyGone & { node: string; until: number };

export function createAwaitedPods(options: {
  catalog: Catalog;
  metrics: Pick<ControllerMetrics, 'ignored'>;
  now: () => number;
}): AwaitedPods {
  const { catalog, metrics, now } = options;
  const awaited = new Map<string, Awaited>();
  const quota = createQuota({ all: awaitedMax.all, perKey: awaitedMax.node });
  return {
    add(node, { namespace, pod, podUid }) {
      const key = `${node}/${namespace}/${pod}`;
      if (!awaited.has(key) && !quota.enter(node)) {
        metrics.ignored.inc({ reason: 'too many unknown pods' });
        return;
      }
      awaited.set(key, { node, namespace, pod, podUid, until: now() + awaitedMs });
    },
    takeArrived() {
      const arrived: { namespace: string; pod: string }[] = [];
      for (const [key, { node, namespace, pod, podUid, until }] of awaited) {
        const known = isKnown(catalog.pod(namespace, pod), podUid);
        if (known) arrived.push({ namespace, pod });
        if (!known && until >= now()) continue;
        awaited.delete(key);
        quota.leave(node);
      }
      return arrived;
    },
  };
}

/** The watch may know the pod, but not yet its node. */
export function isKnown(pod: PodRecord | undefined, uid: string): boolean {
  return pod?.uid === uid && pod.node !== '';
}
