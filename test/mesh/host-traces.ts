import { existsSync, readdirSync } from 'node:fs';
import { readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { prefix, stateDir } from '../../box/paths.ts';
import { runResult } from '../../box/run.ts';

/** All on this machine that a mesh could leave behind; equal before and after one. */
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
 * Processes of the mesh of this folder, by what they are told or where they run; one beside it is
 * none of ours. What names no folder, as a shim, runs in the box's PID namespace, and cannot
 * outlive it.
 */
async function processes(): Promise<string[]> {
  const found: string[] = [];
  const box = await boxNamespace();
  // The folder of a second mesh begins with the name of the first.
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
