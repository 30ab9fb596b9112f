import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hierarchies, nodeCgroup } from './cluster/cgroups.ts';

/** What is read here of a pod as the API server has it. */
export type PodObject = {
  metadata: {
    name: string;
    namespace: string;
    uid: string;
    annotations?: Record<string, string>;
    deletionTimestamp?: string;
  };
  spec: {
    nodeName?: string;
    containers: { name: string }[];
    initContainers?: { name: string }[];
  };
  status?: {
    conditions?: { type: string; status: string }[];
    containerStatuses?: ContainerStatus[];
    initContainerStatuses?: ContainerStatus[];
  };
};

type ContainerStatus = { name: string; containerID?: string };

/** Below a node's cgroup, by the class of service of its pods. */
const classes = ['', 'burstable', 'besteffort'];

/** The id, in this machine's table, of a process of a running pod: by it its network is entered. */
export function processOfPod({ metadata, spec }: PodObject): string {
  for (const hierarchy of hierarchies())
    for (const each of classes) {
      const pods = join(hierarchy, nodeCgroup(spec.nodeName ?? ''), 'kubepods', each);
      const group = join(pods, `pod${metadata.uid}`);
      const pid = existsSync(group) ? firstProcess(group) : undefined;
      if (pid !== undefined) return pid;
    }
  throw new Error(`pod ${metadata.name} has no process: it is not running`);
}

function firstProcess(group: string): string | undefined {
  for (const container of readdirSync(group, { withFileTypes: true })) {
    if (!container.isDirectory()) continue;
    const [pid] = readFileSync(join(group, container.name, 'cgroup.procs'), 'utf8').split('\n');
    if (pid) return pid;
  }
  return undefined;
}

export function hasSidecar({ spec }: PodObject): boolean {
  const all = [...spec.containers, ...(spec.initContainers ?? [])];
  return all.some((container) => container.name === 'istio-proxy');
}

export function isReady(pod: PodObject): boolean {
  const ready = pod.status?.conditions?.find((condition) => condition.type === 'Ready');
  return ready?.status === 'True' && pod.metadata.deletionTimestamp === undefined;
}

let execs = 0;

/**
 * What runs a command in a container by the runtime of the pod's node: as its user, with its
 * environment and in its limits, as `kubectl exec` does, but without the API server and the kubelet
 * between.
 */
export function execInContainer(pod: PodObject, command: string[], container?: string): string[] {
  const { metadata, spec, status } = pod;
  const name =
    container ??
    metadata.annotations?.['kubectl.kubernetes.io/default-container'] ??
    spec.containers[0]?.name;
  const all = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
  const id = all.find((one) => one.name === name)?.containerID?.replace('containerd://', '');
  if (!id) throw new Error(`pod ${metadata.name} has no container ${name} that runs`);
  execs += 1;
  const task = ['ctr', '-n', 'k8s.io', 'task', 'exec', '--exec-id', `box-${process.pid}-${execs}`];
  return [...task, id, ...command];
}
