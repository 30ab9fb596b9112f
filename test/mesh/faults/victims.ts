import type { Mesh } from '../mesh.ts';

export type Signal = 'KILL' | 'TERM';

type Pod = {
  metadata: { name: string };
  spec: { nodeName: string };
  status: { containerStatuses: { name: string; containerID: string; restartCount: number }[] };
};

export async function podsOf(mesh: Mesh, namespace: string, selector: string): Promise<Pod[]> {
  const { items } = await mesh.get(['pods', '-n', namespace, '-l', selector]);
  return items;
}

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

/** Process ids of a program of the cluster in a box, or of one node of it. */
export async function pidsOf(mesh: Mesh, program: string, node = 'node-1'): Promise<string[]> {
  const found = await mesh.onNode(node, ['sh', '-c', `pgrep -x ${program} || true`]);
  return found.split('\n').filter(Boolean);
}

/** Ends a program that runs beside the cluster; the box starts it again a second later. */
export async function signalDaemon(mesh: Mesh, program: string, signal: Signal): Promise<void> {
  for (const pid of await pidsOf(mesh, program))
    await mesh.onNode('node-1', ['kill', `-${signal}`, pid]);
}

/** The API server answers, and every part of the product is ready. */
export async function untilWell(mesh: Mesh): Promise<void> {
  await mesh.waitFor(
    'the product to be ready',
    async () => {
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
      return true;
    },
    90,
  );
}

const parts = {
  'lazyscope-system': [
    'deployment/lazyscope-controller',
    'deployment/lazyscope-egress',
    'daemonset/lazyscope-node',
  ],
  'istio-system': ['deployment/istiod'],
};
