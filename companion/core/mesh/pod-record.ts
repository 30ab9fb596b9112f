import type { KubeObject } from '../../kube/object.ts';
import { ownerOf } from './pod-owner.ts';
import { namespaceOf } from './records.ts';
import { revisionOfPod } from './revision.ts';
import { declaresTunnel } from './tunnel.ts';

export type PodRecord = {
  namespace: string;
  name: string;
  uid: string;
  ips: readonly string[];
  labels: Readonly<Record<string, string>>;
  serviceAccount: string;
  /** The sidecar terminates mutual TLS: label `security.istio.io/tlsMode: istio`. */
  acceptsMtls: boolean;
  /**
   * Istio's proxies reach it by HBONE alone: ztunnel of the ambient mesh takes its traffic, or its
   * labels say so. A sidecar that terminates mutual TLS comes before that.
   */
  isCaptured: boolean;
  /** Has a sidecar that does not act as a gateway; `Sidecar` objects do not apply to gateways. */
  hasSidecar: boolean;
  network: string;
  /** Name of its owner: the Deployment, StatefulSet, DaemonSet or CronJob. */
  owner: string;
  /** The pod belongs to a run that has no sign of being repeated. */
  runsOnce: boolean;
  /** Name of the run that the pod belongs to; empty if its owner does not run to completion. */
  run: string;
  running: boolean;
  /** Its proxy answers the DNS queries of the app (ISTIO_META_DNS_CAPTURE). */
  dnsProxy: boolean;
  /**
   * Traffic of its app reaches the proxy without the app's help: interception mode REDIRECT or
   * TPROXY.
   */
  intercepted: boolean;
  /** Its node is lost: its status is old, and it cannot be reached. */
  nodeLost: boolean;
  /** Its proxy runs, or nothing says that it does not. */
  proxyRunning: boolean;
  node: string;
  /** The revision of the istiod that injected and configures the proxy. */
  revision: string;
};

/** The container that Istio injects. */
const proxyName = 'istio-proxy';

export function readPod(object: KubeObject): PodRecord {
  const { spec = {}, status = {} } = object;
  const labels = object.metadata.labels ?? {};
  const annotations = object.metadata.annotations ?? {};
  const acceptsMtls = labels['security.istio.io/tlsMode'] === 'istio';
  const isGateway =
    'gateway.networking.k8s.io/gateway-name' in labels ||
    runsRouter(spec) ||
    (annotations['inject.istio.io/templates'] ?? '').split(',').includes('gateway');
  type Status = { name: string; state?: Record<string, unknown> };
  // A native sidecar is an init container.
  const statuses: Status[] = [
    ...(status.containerStatuses ?? []),
    ...(status.initContainerStatuses ?? []),
  ];
  const owner = ownerOf(object);
  const proxyStatus = statuses.find(({ name }) => name === proxyName);
  const ips = ((status.podIPs ?? []) as { ip: string }[]).map(({ ip }) => ip);
  return {
    namespace: namespaceOf(object),
    name: object.metadata.name,
    uid: object.metadata.uid ?? '',
    // Pods of the host network share its address, so the address identifies no pod.
    ips: spec.hostNetwork ? [] : ips,
    labels,
    serviceAccount: spec.serviceAccountName ?? 'default',
    acceptsMtls,
    isCaptured:
      !acceptsMtls &&
      (annotations['ambient.istio.io/redirection'] === 'enabled' || declaresTunnel(labels)),
    // The injector skips pods of the host network: their traffic cannot be redirected.
    hasSidecar:
      !isGateway && !spec.hostNetwork && (acceptsMtls || 'sidecar.istio.io/status' in annotations),
    dnsProxy: proxyEnv(spec, 'ISTIO_META_DNS_CAPTURE') === 'true',
    intercepted: proxyEnv(spec, 'ISTIO_META_INTERCEPTION_MODE') !== 'NONE',
    network: labels['topology.istio.io/network'] ?? '',
    owner: owner.name,
    runsOnce: owner.runsOnce,
    run: owner.run,
    node: spec.nodeName ?? '',
    nodeLost: isNodeLost(status),
    revision: revisionOfPod(object),
    running: !['Succeeded', 'Failed'].includes(status.phase) && !object.metadata.deletionTimestamp,
    proxyRunning: proxyStatus?.state === undefined || proxyStatus.state.running !== undefined,
  };
}

/**
 * The node controller sets Ready to False and nothing else (Kubernetes, pkg/controller/util/node,
 * MarkPodsNotReady): its containers are still ready, and no reason is given, which a kubelet always
 * does.
 */
function isNodeLost(status: Record<string, unknown>): boolean {
  if (status.reason === 'NodeLost') return true;
  type Told = { type: string; status: string; reason?: string };
  const told = (status.conditions ?? []) as Told[];
  const ready = told.find(({ type }) => type === 'Ready');
  const containers = told.find(({ type }) => type === 'ContainersReady');
  return ready?.status === 'False' && !ready.reason && containers?.status === 'True';
}

type Container = { name: string; args?: string[]; env?: { name: string; value?: string }[] };

/** The injector writes the mesh's proxyMetadata and the pod's own into the proxy's environment. */
function proxyEnv(spec: Record<string, unknown>, wanted: string): string | undefined {
  const all = [spec.containers ?? [], spec.initContainers ?? []] as Container[][];
  const proxy = all.flat().find(({ name }) => name === proxyName);
  return proxy?.env?.find(({ name }) => name === wanted)?.value;
}

/** A gateway that was not injected has the arguments `proxy router`. */
function runsRouter(spec: Record<string, unknown>): boolean {
  const containers = (spec.containers ?? []) as Container[];
  return containers.some(({ name, args = [] }) => name === proxyName && args.includes('router'));
}
