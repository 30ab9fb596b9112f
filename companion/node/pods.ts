import { type Mode, modeInForce, modeLabel } from '../core/scope/condition.ts';
import { type LearningSource, sourceInForce, sourceLabel } from '../core/scope/source.ts';
import type { Kube, KubeObject, Watch, WatchHandler } from '../kube/object.ts';
import type { NodeMetrics } from './metrics.ts';

/** A pod of this node. The source address of a request identifies it, never the payload. */
export type Pod = {
  uid: string;
  namespace: string;
  name: string;
  addresses: readonly string[];
  /**
   * Pods with the same key get the same answers: pods of one template (same owner) have the same
   * labels and service account. A pod without an owner has its own key.
   */
  callerKey: string;
  /** Has a sidecar whose memory can be read. */
  hasProxy: boolean;
};

export type Pods = {
  /** The pod with this source address, if its namespace is enabled. */
  find(address: string): { pod: Pod } | { refused: 'unknown-source' | 'namespace-not-enabled' };
  /** Pods of enabled namespaces. */
  enabled(): Iterable<Pod>;
  /** Still exists, and its namespace is enabled. */
  isServed(pod: Pod): boolean;
  /** The source in force in its namespace; undefined: unknown, so either one counts. */
  sourceOf(pod: Pod): LearningSource | undefined;
  upsertPod(object: KubeObject): void;
  removePod(object: KubeObject): void;
  upsertNamespace(object: KubeObject): void;
  removeNamespace(object: KubeObject): void;
};

/** The kubelet's default is 110 pods a node and the largest supported setting about 500. */
const podsMax = 1024;

export type PodsOptions = {
  metrics: NodeMetrics;
  /** The pod is deleted, or its namespace is no longer enabled. */
  onGone(pod: Pod): void;
  /** The namespace changed to another mode that is enabled. */
  onMode(pod: Pod): void;
};

export function createPods({ metrics, onGone, onMode }: PodsOptions): Pods {
  const byUid = new Map<string, Pod>();
  const byAddress = new Map<string, Pod>();
  /** Enabled namespaces: their mode, and the source of what is learned there. */
  const enabledNamespaces = new Map<string, { mode: Mode; source: LearningSource | undefined }>();

  function forget(uid: string | undefined): Pod | undefined {
    const pod = byUid.get(uid ?? '');
    if (!pod) return undefined;
    byUid.delete(pod.uid);
    for (const address of pod.addresses) {
      // A newer pod may already have the address.
      if (byAddress.get(address) === pod) byAddress.delete(address);
    }
    metrics.pods.set(byUid.size);
    return pod;
  }

  function namespaceOff(name: string): void {
    if (!enabledNamespaces.delete(name)) return;
    for (const pod of byUid.values()) if (pod.namespace === name) onGone(pod);
  }

  return {
    find(address) {
      const pod = byAddress.get(plainAddress(address));
      if (!pod) return { refused: 'unknown-source' };
      return enabledNamespaces.has(pod.namespace) ? { pod } : { refused: 'namespace-not-enabled' };
    },
    *enabled() {
      for (const pod of byUid.values()) if (enabledNamespaces.has(pod.namespace)) yield pod;
    },
    isServed: ({ uid, namespace }) => byUid.has(uid) && enabledNamespaces.has(namespace),
    sourceOf: ({ namespace }) => enabledNamespaces.get(namespace)?.source,
    upsertPod(object) {
      const pod = readPod(object);
      if (!pod) {
        const gone = forget(object.metadata.uid);
        if (gone) onGone(gone);
        return;
      }
      forget(pod.uid);
      if (byUid.size >= podsMax) return metrics.podsOverflow.inc();
      byUid.set(pod.uid, pod);
      for (const address of pod.addresses) byAddress.set(address, pod);
      metrics.pods.set(byUid.size);
    },
    removePod(object) {
      const gone = forget(object.metadata.uid);
      if (gone) onGone(gone);
    },
    upsertNamespace(object) {
      const { name, labels = {} } = object.metadata;
      const label = labels[modeLabel];
      if (label === undefined) return namespaceOff(name);
      // Also in mode off: a single workload of the namespace may be observed or scoped.
      const before = enabledNamespaces.get(name);
      const mode = modeInForce(label, before?.mode);
      const source = sourceInForce(labels[sourceLabel], before?.source);
      enabledNamespaces.set(name, { mode, source });
      if (before === undefined || before.mode === mode) return;
      for (const pod of byUid.values()) if (pod.namespace === name) onMode(pod);
    },
    removeNamespace: (object) => namespaceOff(object.metadata.name),
  };
}

/** Undefined for pods without their own address: host network, not started, ended. */
function readPod({ metadata, spec, status }: KubeObject): Pod | undefined {
  const { uid, name, namespace, ownerReferences } = metadata;
  const ended = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  if (!uid || !namespace || spec?.hostNetwork === true || ended) return undefined;
  const listed: string[] = (status?.podIPs ?? []).map(({ ip }: { ip: string }) => ip);
  const addresses = listed.length > 0 ? listed : status?.podIP ? [status.podIP as string] : [];
  if (addresses.length === 0) return undefined;
  const owner = ownerReferences?.find((reference) => reference.controller === true);
  const containers: { name: string }[] = [
    ...(spec?.containers ?? []),
    ...(spec?.initContainers ?? []),
  ];
  return {
    uid,
    namespace,
    name,
    addresses,
    callerKey: owner ? `${owner.uid}/${spec?.serviceAccountName ?? ''}` : uid,
    hasProxy: containers.some((container) => container.name === 'istio-proxy'),
  };
}

/** An IPv4 peer of a dual-stack socket is written `::ffff:10.0.0.1`. */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
}

/**
 * Proxies rely on answers until they have full configuration again. The controller takes about a
 * second to restore it after a namespace is disabled; this is long enough for the largest namespace
 * at the controller's rate of writes.
 */
const leaveMs = 60_000;

/** Follows the pods of this node and the enabled namespaces in the API server. */
export function watchPods(kube: Pick<Kube, 'watch'>, nodeName: string, pods: Pods): Watch[] {
  const leaving = new Map<string, NodeJS.Timeout>();
  const stay = ({ metadata: { name } }: KubeObject) => {
    clearTimeout(leaving.get(name));
    leaving.delete(name);
  };
  const namespaces: WatchHandler = {
    upsert(object) {
      stay(object);
      pods.upsertNamespace(object);
    },
    remove(object) {
      stay(object);
      const timer = setTimeout(() => pods.removeNamespace(object), leaveMs).unref();
      leaving.set(object.metadata.name, timer);
    },
  };
  const core = { group: '', version: 'v1', cached: true } as const;
  return [
    kube.watch({ ...core, plural: 'namespaces', labelSelector: modeLabel }, namespaces),
    kube.watch(
      { ...core, plural: 'pods', fieldSelector: `spec.nodeName=${nodeName}` },
      { upsert: pods.upsertPod, remove: pods.removePod },
    ),
  ];
}
