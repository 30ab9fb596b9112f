import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { prefix } from '../paths.ts';

const mountPoint = '/sys/fs/cgroup';

/** The hierarchies for our groups: one on cgroup v2, one per controller on cgroup v1. */
export function hierarchies(): string[] {
  if (existsSync(join(mountPoint, 'cgroup.controllers'))) return [mountPoint];
  return readdirSync(mountPoint, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(mountPoint, entry.name));
}

/** The path, below every hierarchy, that holds all pods of a node. `keeper.sh` removes it. */
export const nodeCgroup = (node: string) => `/${prefix}/${node}`;

/**
 * The CPU share of all pods of a mesh together, in units of the share of another session, such as
 * this program, a compiler or the API server. Without it, twenty busy pods would get no more than
 * one of those sessions, and other programs would delay a question beyond its 200 ms. The programs
 * of the nodes keep a tenth.
 */
const podsShare = 8;

/** The file for the share in each version of cgroups, and its value for a share of 1. */
const shareFiles = { 'cpu.weight': 100, 'cpu.shares': 1_024 };

/** Gives the pods of the mesh a larger CPU share than other processes of this machine. */
async function preferPods(group: string): Promise<void> {
  for (const [name, one] of Object.entries(shareFiles)) {
    const file = join(group, name);
    // Has no effect under a supervisor that does not delegate the CPU controller.
    if (existsSync(file)) await writeFile(file, String(podsShare * one)).catch(() => {});
  }
}

/** Creates a node's cgroup in every hierarchy: a kubelet refuses a missing cgroup root. */
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
  // A controller that cannot be delegated here (cpuset under some supervisors) is not needed.
  for (const dir of groups)
    for (const controller of controllers)
      await writeFile(join(dir, 'cgroup.subtree_control'), `+${controller}`).catch(() => {});
}
