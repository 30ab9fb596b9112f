import { existsSync, readdirSync } from 'node:fs';
import { readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { prefix, stateDir } from '../../box/paths.ts';
import { runResult } from '../../box/run.ts';

/**
 * Everything on this machine that a mesh could leave behind. The result must be equal before and
 * after a mesh.
 */
export async function hostTraces(): Promise<Record<string, string[]>> {
  const lines = async (command: string, ...args: string[]) =>
    (await runResult(command, args)).stdout.split('\n').filter(Boolean);
  const mounts = await readFile('/proc/self/mounts', 'utf8');
  return {
    links: await lines('ip', '-brief', 'link'),
    addresses: await lines('ip', '-brief', 'address'),
    routes: await lines('ip', 'route', 'show', 'table', 'all'),
    rules: (await lines('iptables-save')).filter((line) => !line.startsWith('#')),
    namespaces: await lines('ip', 'netns'),
    mounts: mounts.split('\n').filter((line) => line.includes(prefix)),
    cgroups: cgroups(),
    processes: await processes(),
    files: [stateDir].filter((path) => existsSync(path)),
  };
}

function cgroups(): string[] {
  const root = '/sys/fs/cgroup';
  const parents = ['', ...readdirSync(root)].map((name) => `${root}/${name}/${prefix}`);
  return parents.filter((path) => existsSync(path));
}

/**
 * Processes of the mesh in this folder, found by their command line or cgroup. Processes of a
 * second mesh do not count. A process that names no folder, such as a shim, runs in the box's PID
 * namespace and cannot outlive the box.
 */
async function processes(): Promise<string[]> {
  const found: string[] = [];
  const box = await boxNamespace();
  // The folder name of a second mesh begins with the folder name of the first.
  const ours = [`${stateDir}/`, `${stateDir} `, `${stateDir}"`];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const group = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '');
    const namespace = await readlink(`/proc/${pid}/ns/pid`).catch(() => '');
    const words = command.replaceAll('\0', ' ');
    const isOurs = namespace === box || ours.some((part) => words.includes(part));
    if (isOurs || group.includes(`/${prefix}/`)) found.push(words.trim().slice(0, 120));
  }
  return found;
}

/** The PID namespace of the box, while it is up. */
async function boxNamespace(): Promise<string | undefined> {
  const pid = await readFile(join(stateDir, 'box.pid'), 'utf8').catch(() => '');
  return readlink(`/proc/${pid.trim()}/ns/pid_for_children`).catch(() => undefined);
}
