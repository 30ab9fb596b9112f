import type { Mesh } from '../../../box/mesh.ts';

export type Signal = 'KILL' | 'TERM' | 'STOP' | 'CONT';

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

/** Containers or processes to end. Their ids tell them from their replacements. */
export type Victims = {
  ids: string[];
  signal(signal: Signal): Promise<void>;
  /** Ids of all containers or processes of this kind now, dead or alive. */
  now(): Promise<string[]>;
};

const containerOf = ({ status }: Pod) =>
  (status.containerStatuses?.[0]?.containerID ?? '').replace('containerd://', '');

/**
 * Some pods of a kind. The signal goes to the container runtime and not through Kubernetes, as in a
 * crash or an OOM kill.
 */
export function podVictims(mesh: Mesh, pods: Pod[], all: () => Promise<Pod[]>): Victims {
  const kill = ({ spec }: Pod, id: string, signal: Signal) =>
    mesh.onNode(spec.nodeName, ['ctr', '-n', 'k8s.io', 'task', 'kill', '-s', `SIG${signal}`, id]);
  return {
    ids: pods.map(containerOf),
    signal: async (signal) => {
      await Promise.all(pods.map((pod) => kill(pod, containerOf(pod), signal)));
    },
    now: async () => (await all()).map(containerOf),
  };
}

/**
 * Every process of a program that runs beside the cluster. The box restarts the program a second
 * after it ends.
 */
export async function daemonVictims(mesh: Mesh, program: string): Promise<Victims> {
  const ids = await pidsOf(mesh, program);
  return {
    ids,
    signal: (signal) => signalProcesses(mesh, ids, signal),
    now: () => pidsOf(mesh, program),
  };
}

/** Throws if there is no victim, because a test without a fault proves nothing. */
export function requireVictims(what: string, { ids }: Victims): void {
  if (ids.length === 0 || ids.includes('')) throw new Error(`${what}: nobody to end (${ids})`);
}

/** Waits until every victim is gone and as many replacements run as there were victims. */
export async function untilReplaced(mesh: Mesh, what: string, victims: Victims, count: number) {
  await mesh.waitFor(
    `others instead of ${what}`,
    async () => {
      const now = (await victims.now()).filter(Boolean);
      return now.length >= count && victims.ids.every((id) => !now.includes(id));
    },
    recoverySeconds,
  );
}

/** A bound for a hang. The longest part of a recovery is the restart backoff of a container. */
const recoverySeconds = 300;

/** Process ids of a program. All nodes of the box share one process table. */
async function pidsOf(mesh: Mesh, program: string): Promise<string[]> {
  const found = await mesh.onNode('node-1', ['sh', '-c', `pgrep -x ${program} || true`]);
  return found.split('\n').filter(Boolean);
}

/**
 * Everything that runs on a node (pods, runtime and kubelet), ended at once, as in a power failure.
 * The box restarts the runtime and the kubelet, which restart the pods. Disk and address stay.
 */
export async function nodeVictims(mesh: Mesh, node: string): Promise<Victims> {
  const tasks = ['ctr', '-n', 'k8s.io', 'task', 'ls', '-q'];
  const now = async () => (await mesh.onNode(node, tasks)).split('\n').filter(Boolean);
  return { ids: await now(), signal: () => endAllOn(mesh, node), now };
}

async function endAllOn(mesh: Mesh, node: string): Promise<void> {
  // The kubelet first, so that it restarts nothing; containerd last, because it kills the pods.
  const script = `
    here=$(readlink /proc/self/ns/net)
    end() {
      for pid in $(pgrep -x $1); do
        [ "$(readlink /proc/$pid/ns/net)" != "$here" ] || kill -KILL $pid
      done
    }
    end kubelet
    end kube-proxy
    for task in $(ctr -n k8s.io task ls -q); do ctr -n k8s.io task kill -s SIGKILL $task & done
    wait
    end containerd`;
  await mesh.onNode(node, ['bash', '-c', script]);
}

/** Signals those of the given processes that still run. */
export async function signalProcesses(mesh: Mesh, pids: readonly string[], signal: Signal) {
  const each = `for pid in ${pids.join(' ')}; do kill -${signal} $pid || true; done`;
  await mesh.onNode('node-1', ['sh', '-c', each]);
}

/**
 * Restarts kube-proxy, because after each outage kube-proxy waits longer before it lists again, up
 * to a minute.
 */
export async function restartKubeProxy(mesh: Mesh): Promise<void> {
  await signalProcesses(mesh, await pidsOf(mesh, 'kube-proxy'), 'KILL');
}

/**
 * Waits until the API server answers, every node and every part of the product is ready, and a
 * controller leads. The controller reaches the API server by its Service, which kube-proxy may
 * program later than this test reaches the API server.
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
    recoverySeconds,
  );
}

/** The holder of the controllers' Lease and the time of the last renewal. */
export async function leaderOf(mesh: Mesh): Promise<{ holderIdentity: string; renewTime: string }> {
  const lease = ['lease', 'lazyscope-controller', '-n', 'lazyscope-system'];
  return (await mesh.get(lease)).spec;
}

/** True if a controller has renewed the Lease within 5 s. A leader renews every few seconds. */
async function isLed(mesh: Mesh): Promise<boolean> {
  const { holderIdentity, renewTime } = await leaderOf(mesh);
  return holderIdentity !== '' && Date.now() - Date.parse(renewTime) < 5_000;
}

/**
 * The kubelet waits longer after each end of a container, up to five minutes. These tests end
 * containers on purpose, so this replaces waiting pods by new ones, whose containers start at once.
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
