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
  };
};

/** Folders below a node's cgroup, by the QoS class of its pods. */
const classes = ['', 'burstable', 'besteffort'];

/** A process of a running pod, by its id on this machine, through which its network is entered. */
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
