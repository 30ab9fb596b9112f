import type { Mesh } from '../../../box/mesh.ts';

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

/** What is ended, as one tells it from what comes in its place: a container or a process. */
export type Victims = {
  ids: string[];
  signal(signal: Signal): Promise<void>;
  /** What of its kind there is now, dead or alive. */
  now(): Promise<string[]>;
};

const containerOf = ({ status }: Pod) =>
  (status.containerStatuses?.[0]?.containerID ?? '').replace('containerd://', '');

/** Some pods of a kind. They are signalled past Kubernetes, as a crash or an OOM kill does. */
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
 * Every process of a program that runs beside the cluster; the box starts it again a second after
 * its end.
 */
export async function daemonVictims(mesh: Mesh, program: string): Promise<Victims> {
  const ids = await pidsOf(mesh, program);
  return {
    ids,
    signal: (signal) => signalProcesses(mesh, ids, signal),
    now: () => pidsOf(mesh, program),
  };
}

/** There was something to end; throws otherwise, as a test without a fault proves nothing. */
export function requireVictims(what: string, { ids }: Victims): void {
  if (ids.length === 0 || ids.includes('')) throw new Error(`${what}: nobody to end (${ids})`);
}

/** Each of the victims is gone, and there are as many of its kind as before: others. */
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

/** A bound for what hangs: the backoff of a container that ended often is the longest part. */
const recoverySeconds = 300;

/** Process ids of a program; the nodes of the box share one table of processes. */
async function pidsOf(mesh: Mesh, program: string): Promise<string[]> {
  const found = await mesh.onNode('node-1', ['sh', '-c', `pgrep -x ${program} || true`]);
  return found.split('\n').filter(Boolean);
}

/**
 * Everything that runs on a node, ended at one moment as when its power goes: pods, runtime and
 * kubelet. The box starts the last two again, which bring the pods back; disk and address stay.
 */
export async function nodeVictims(mesh: Mesh, node: string): Promise<Victims> {
  const tasks = ['ctr', '-n', 'k8s.io', 'task', 'ls', '-q'];
  const now = async () => (await mesh.onNode(node, tasks)).split('\n').filter(Boolean);
  return { ids: await now(), signal: () => endAllOn(mesh, node), now };
}

async function endAllOn(mesh: Mesh, node: string): Promise<void> {
  const script = `
    here=$(readlink /proc/self/ns/net)
    for task in $(ctr -n k8s.io task ls -q); do ctr -n k8s.io task kill -s SIGKILL $task & done
    for pid in $(pgrep -x kubelet; pgrep -x kube-proxy; pgrep -x containerd); do
      [ "$(readlink /proc/$pid/ns/net)" != "$here" ] || kill -KILL $pid
    done
    wait`;
  await mesh.onNode(node, ['bash', '-c', script]);
}

/** Signals those of these processes that are still there. */
export async function signalProcesses(mesh: Mesh, pids: readonly string[], signal: Signal) {
  const each = `for pid in ${pids.join(' ')}; do kill -${signal} $pid || true; done`;
  await mesh.onNode('node-1', ['sh', '-c', each]);
}

/** Starts kube-proxy anew: after outages it looks again later each time, up to a minute. */
export async function restartKubeProxy(mesh: Mesh): Promise<void> {
  await signalProcesses(mesh, await pidsOf(mesh, 'kube-proxy'), 'KILL');
}

/**
 * The API server answers, nodes are there, every part of the product is ready, and a controller
 * leads: it reaches the API server by its Service, which kube-proxy finds again later than we do.
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
 * The kubelet waits longer with each end of a container, up to five minutes. These were ended on
 * purpose, so pods that wait are replaced by new ones, whose containers start at once.
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
