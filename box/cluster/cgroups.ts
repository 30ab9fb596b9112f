import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { prefix } from '../paths.ts';

const mountPoint = '/sys/fs/cgroup';

/** The hierarchies to make our groups in: one on cgroup v2, one a controller on cgroup v1. */
export function hierarchies(): string[] {
  if (existsSync(join(mountPoint, 'cgroup.controllers'))) return [mountPoint];
  return readdirSync(mountPoint, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(mountPoint, entry.name));
}

/** The path, below every hierarchy, that holds all pods of a node. `keeper.sh` removes it. */
export const nodeCgroup = (node: string) => `/${prefix}/${node}`;

/**
 * The share of the CPU that all pods of a mesh have together, where 1 is what each session beside
 * them has: this program, a compiler, the API server. Without it twenty busy pods would have no
 * more than one of those, and a question of 200 ms would be late for what ran beside it. The nodes'
 * own programs keep a tenth.
 */
const podsShare = 8;

/** The files that say so, one a version of cgroups, and what stands for 1 in each. */
const shareFiles = { 'cpu.weight': 100, 'cpu.shares': 1_024 };

/** Gives the pods of the mesh a larger CPU share than other processes of this machine. */
async function preferPods(group: string): Promise<void> {
  for (const [name, one] of Object.entries(shareFiles)) {
    const file = join(group, name);
    // Under a supervisor that does not delegate the CPU this has no effect.
    if (existsSync(file)) await writeFile(file, String(podsShare * one)).catch(() => {});
  }
}

/** Makes a node's cgroup in every hierarchy: a kubelet refuses a cgroup root that is not there. */
export async function createNodeCgroup(node: string): Promise<void> {
  for (const hierarchy of hierarchies()) {
    const group = join(hierarchy, nodeCgroup(node));
    await mkdir(group, { recursive: true });
    const top = join(hierarchy, prefix);
    await delegate([hierarchy, top, group]);
    await preferPods(top);
  }
}

/** On cgroup v2 a child group has a controller only if its parent delegates it. */
async function delegate(groups: string[]): Promise<void> {
  const available = join(groups[0] ?? '', 'cgroup.controllers');
  if (!existsSync(available)) return;
  const controllers = readFileSync(available, 'utf8').trim().split(' ');
  // One that cannot be delegated here (e.g. cpuset under some supervisors) is not needed.
  for (const dir of groups)
    for (const controller of controllers)
      await writeFile(join(dir, 'cgroup.subtree_control'), `+${controller}`).catch(() => {});
}
