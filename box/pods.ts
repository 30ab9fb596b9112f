import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hierarchies, nodeCgroup } from './cluster/cgroups.ts';

/** The fields of a pod that are read here. */
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
    containerStatuses?: { name: string; containerID?: string }[];
  };
};

/** Folders below a node's cgroup, by the QoS class of its pods. */
const classes = ['', 'burstable', 'besteffort'];

/**
 * A process of a running pod, or of one of its containers, by its id on this machine, through which
 * its namespaces are entered.
 */
export function processOfPod(pod: PodObject, container?: string): string {
  const { metadata, spec } = pod;
  const id = container === undefined ? undefined : containerId(pod, container);
  for (const hierarchy of hierarchies())
    for (const each of classes) {
      const pods = join(hierarchy, nodeCgroup(spec.nodeName ?? ''), 'kubepods', each);
      const group = join(pods, `pod${metadata.uid}`);
      const pid = existsSync(group) ? firstProcess(group, id) : undefined;
      if (pid !== undefined) return pid;
    }
  const what = container === undefined ? '' : `${container} of `;
  throw new Error(`${what}pod ${metadata.name} has no process: it is not running`);
}

function containerId({ status }: PodObject, container: string): string {
  const found = status?.containerStatuses?.find(({ name }) => name === container);
  return found?.containerID?.replace('containerd://', '') ?? '';
}

function firstProcess(group: string, id: string | undefined): string | undefined {
  for (const container of readdirSync(group, { withFileTypes: true })) {
    if (!container.isDirectory() || (id !== undefined && container.name !== id)) continue;
    const [pid] = readFileSync(join(group, container.name, 'cgroup.procs'), 'utf8').split('\n');
    if (pid) return pid;
  }
  return undefined;
}

/** The user and the group of a process. */
export function identityOfProcess(pid: string): { uid: string; gid: string } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const [uid = '', gid = ''] = ['Uid', 'Gid'].map(
    (name) => new RegExp(`^${name}:\\s+\\d+\\s+(\\d+)`, 'm').exec(status)?.[1] ?? '0',
  );
  return { uid, gid };
}

export function hasSidecar({ spec }: PodObject): boolean {
  const all = [...spec.containers, ...(spec.initContainers ?? [])];
  return all.some((container) => container.name === 'istio-proxy');
}

export function isReady(pod: PodObject): boolean {
  const ready = pod.status?.conditions?.find((condition) => condition.type === 'Ready');
  return ready?.status === 'True' && pod.metadata.deletionTimestamp === undefined;
}
