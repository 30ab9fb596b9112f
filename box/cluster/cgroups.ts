import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { prefix } from '../paths.ts';

const mountPoint = '/sys/fs/cgroup';

/** The hierarchies to make our groups in: one on cgroup v2, one a controller on cgroup v1. */
function hierarchies(): string[] {
  if (existsSync(join(mountPoint, 'cgroup.controllers'))) return [mountPoint];
  return readdirSync(mountPoint, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(mountPoint, entry.name));
}

/** The path, below every hierarchy, that holds all pods of a node. `keeper.sh` removes it. */
export const nodeCgroup = (node: string) => `/${prefix}/${node}`;

/** Makes a node's cgroup in every hierarchy: a kubelet refuses a cgroup root that is not there. */
export async function createNodeCgroup(node: string): Promise<void> {
  for (const hierarchy of hierarchies()) {
    const group = join(hierarchy, nodeCgroup(node));
    await mkdir(group, { recursive: true });
    const available = join(hierarchy, 'cgroup.controllers');
    if (!existsSync(available)) continue;
    const controllers = readFileSync(available, 'utf8').trim().split(' ');
    for (const dir of [hierarchy, join(hierarchy, prefix), group]) {
      for (const controller of controllers) {
        const file = join(dir, 'cgroup.subtree_control');
        // One that cannot be delegated here (e.g. cpuset under some supervisors) is not needed.
        await writeFile(file, `+${controller}`).catch(() => {});
      }
    }
  }
}
