import type { LoadResult } from '../../../box/fleet.ts';
import type { Mesh, PodRef } from '../../../box/mesh.ts';

export type Signal = 'KILL' | 'TERM';

type Pod = {
  metadata: { name: string; deletionTimestamp?: string };
  spec: { nodeName: string };
  status: {
    podIP: string;
    containerStatuses: {
      name: string;
      containerID: string;
      restartCount: number;
      state: { waiting?: { reason: string } };
    }[];
  };
};

export async function podsOf(mesh: Mesh, namespace: string, selector: string): Promise<Pod[]> {
  const { items } = (await mesh.get(['pods', '-n', namespace, '-l', selector])) as { items: Pod[] };
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

type Node = { status: { conditions: { type: string; status: string }[] } };

const isReady = ({ status }: Node) =>
  status.conditions.some((each) => each.type === 'Ready' && each.status === 'True');

/** Signals the first process of a container, past Kubernetes, as a crash or an OOM kill does. */
export async function signalPod(
  mesh: Mesh,
  { spec, status }: Pod,
  signal: Signal,
  container = status.containerStatuses[0]?.name,
): Promise<void> {
  const found = status.containerStatuses.find(({ name }) => name === container);
  const id = found?.containerID.replace('containerd://', '') ?? '';
  const kill = ['ctr', '-n', 'k8s.io', 'task', 'kill', '-s', `SIG${signal}`, id];
  await mesh.onNode(spec.nodeName, kill);
}

let loads = 0;

/** Like `load` of the fleet, past the API server, which `kubectl exec` would not outlive. */
export async function loadOnNode(
  mesh: Mesh,
  from: PodRef,
  urls: string[],
  { rps, seconds }: { rps: number; seconds: number },
): Promise<LoadResult> {
  const { spec, status } = (await mesh.get(['pod', from.name, '-n', from.namespace])) as Pod;
  const app = status.containerStatuses.find(({ name }) => name === 'app');
  const id = app?.containerID.replace('containerd://', '') ?? '';
  loads += 1;
  const exec = ['ctr', '-n', 'k8s.io', 'task', 'exec', '--exec-id', `load-${process.pid}-${loads}`];
  const rate = ['--rps', String(rps), '--duration', `${seconds}s`];
  const printed = await mesh.onNode(spec.nodeName, [
    ...exec,
    id,
    ...['/usr/local/bin/meshapp', 'load', ...rate, ...urls],
  ]);
  return JSON.parse(printed) as LoadResult;
}

/** Process ids of a program; the nodes of the box share one table of processes. */
async function pidsOf(mesh: Mesh, program: string): Promise<string[]> {
  const found = await mesh.onNode('node-1', ['sh', '-c', `pgrep -x ${program} || true`]);
  return found.split('\n').filter(Boolean);
}

/**
 * Ends everything that runs on a node at one moment, as when its power goes: pods, runtime and kubelet.
 * The box starts the last two again, which bring the pods back; disk and address stay.
 */
export async function reboot(mesh: Mesh, node: string): Promise<void> {
  const script = `
    here=$(readlink /proc/self/ns/net)
    for task in $(ctr -n k8s.io task ls -q); do ctr -n k8s.io task kill -s SIGKILL $task & done
    for pid in $(pgrep -x kubelet; pgrep -x kube-proxy; pgrep -x containerd); do
      [ "$(readlink /proc/$pid/ns/net)" != "$here" ] || kill -KILL $pid
    done
    wait`;
  await mesh.onNode(node, ['bash', '-c', script]);
}

/** Tells a program that runs beside the cluster to end; the box starts it again a second after it has. */
export async function signalDaemon(mesh: Mesh, program: string, signal: Signal): Promise<string[]> {
  const pids = await pidsOf(mesh, program);
  for (const pid of pids) await mesh.onNode('node-1', ['kill', `-${signal}`, pid]);
  return pids;
}

/** Ends those of these processes that are still there. */
export async function endDaemon(mesh: Mesh, pids: readonly string[]): Promise<void> {
  for (const pid of pids) await mesh.onNode('node-1', ['sh', '-c', `kill -KILL ${pid} || true`]);
}

/**
 * The API server answers, nodes are there, every part of the product is ready, and a controller leads: it
 * reaches the API server by its Service, which kube-proxy finds again later than we do.
 */
export async function untilWell(mesh: Mesh): Promise<void> {
  await mesh.waitFor(
    'the product to be ready',
    async () => {
      const { items: nodes } = (await mesh.get(['nodes'])) as { items: Node[] };
      if (!nodes.every(isReady)) return false;
      for (const namespace of Object.keys(parts)) await replaceWaiting(mesh, namespace);
      for (const [namespace, names] of Object.entries(parts)) {
        for (const name of names) {
          const { status } = await mesh.get([name, '-n', namespace]);
          const [wanted, ready] = [
            status.replicas ?? status.desiredNumberScheduled,
            status.readyReplicas ?? status.numberReady,
          ];
          if (wanted !== ready) return false;
        }
      }
      return isLed(mesh);
    },
    150,
  );
}

/** The controller that leads or led last, and when it renewed its Lease. */
export async function leaderOf(mesh: Mesh): Promise<{ holderIdentity: string; renewTime: string }> {
  const lease = ['lease', 'lazyscope-controller', '-n', 'lazyscope-system'];
  return (await mesh.get(lease)).spec;
}

/** A controller has renewed its Lease a moment ago; it does so every few seconds. */
async function isLed(mesh: Mesh): Promise<boolean> {
  const { holderIdentity, renewTime } = await leaderOf(mesh);
  return holderIdentity !== '' && Date.now() - Date.parse(renewTime) < 5_000;
}

/**
 * The kubelet waits longer with each end of a container, up to five minutes. These were ended on purpose,
 * so pods that wait are replaced by new ones, whose containers start at once.
 */
async function replaceWaiting(mesh: Mesh, namespace: string): Promise<void> {
  const { items } = (await mesh.get(['pods', '-n', namespace])) as { items: Pod[] };
  const waiting = items.filter(({ metadata, status }) => {
    const reasons = status.containerStatuses?.map(({ state }) => state.waiting?.reason);
    return metadata.deletionTimestamp === undefined && reasons?.includes('CrashLoopBackOff');
  });
  const names = waiting.map(({ metadata }) => metadata.name);
  if (names.length > 0)
    await mesh.kubectl(['delete', 'pod', '-n', namespace, '--wait=false', ...names]);
}

const parts = {
  'lazyscope-system': [
    'deployment/lazyscope-controller',
    'deployment/lazyscope-egress',
    'daemonset/lazyscope-node',
  ],
  'istio-system': ['deployment/istiod'],
};
