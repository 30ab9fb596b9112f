import { createQuota } from '../../bounds/quota.ts';
import type { ProxyGone } from '../../contract/rpc.ts';
import type { Catalog } from '../../core/mesh/catalog.ts';
import type { PodRecord } from '../../core/mesh/pod-record.ts';
import type { ControllerMetrics } from '../metrics.ts';

/**
 * Pods that a node spoke of and the watch has not told of yet: the node is asked again when it has.
 */
export type AwaitedPods = {
  add(node: string, pod: ProxyGone): void;
  /** Those that are known by now; each once. */
  takeArrived(): { namespace: string; pod: string }[];
};

/**
 * Pods that nodes spoke of before the watch did; the watch is late by seconds, not by thousands.
 * For each node as many as start on it at once, so that one that makes pods up leaves room for
 * others.
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

/** The watch may have told of the pod, but not yet of the node that it was put on. */
export function isKnown(pod: PodRecord | undefined, uid: string): boolean {
  return pod?.uid === uid && pod.node !== '';
}
