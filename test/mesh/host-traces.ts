import { existsSync, readdirSync } from 'node:fs';
import { readFile, readlink } from 'node:fs/promises';
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

/** Processes of a mesh, by what only they name or where only they run. */
async function processes(): Promise<string[]> {
  const found: string[] = [];
  const here = await readlink('/proc/self/ns/pid');
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const group = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '');
    const namespace = await readlink(`/proc/${pid}/ns/pid`).catch(() => here);
    const words = command.replaceAll('\0', ' ');
    const named = [`${stateDir}/`, 'keeper.sh', 'serve --name outside'];
    // A shim says nothing of its containerd; the machine's own run beside us.
    const shim = namespace !== here && words.includes('containerd-shim');
    if (shim || group.includes(`/${prefix}/`) || named.some((part) => words.includes(part)))
      found.push(words.trim().slice(0, 120));
  }
  return found;
}
