import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../run.ts';
import { withSbin } from './leftovers.ts';

/** A separate cgroup in the v2 hierarchy, which is mounted here if the machine has not done so. */
export type Cgroup = { path: string; remove(): Promise<void> };

let made = 0;

export async function createCgroup(): Promise<Cgroup> {
  const mounted = /^\S+ (\S+) cgroup2 /m.exec(readFileSync('/proc/self/mounts', 'utf8'))?.[1];
  const mount = mounted ?? mkdtempSync(join(tmpdir(), 'lazyscope-cgroup2-'));
  if (!mounted) await run('mount', ['-t', 'cgroup2', 'none', mount]);
  made++;
  const path = join(mount, `lazyscope-bypass-test-${process.pid}-${made}`);
  mkdirSync(path);
  return {
    path,
    async remove() {
      await untilEmpty(path);
      rmdirSync(path);
      if (mounted) return;
      await run('umount', [mount]);
      rmdirSync(mount);
    },
  };
}

/** An ended process leaves its cgroup a moment later. */
async function untilEmpty(path: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (readFileSync(join(path, 'cgroup.procs'), 'utf8') === '') return;
    await sleep(20);
  }
}

/**
 * Starts a program inside the cgroup, so that all of its sockets belong to the cgroup; `netns` is
 * the process whose network namespace the program joins.
 */
export function spawnIn(
  cgroup: string,
  command: readonly string[],
  netns?: number,
): ChildProcessWithoutNullStreams {
  const enter = netns === undefined ? [] : ['nsenter', `--net=/proc/${netns}/ns/net`];
  const script = `echo $$ > '${cgroup}/cgroup.procs' && exec "$@"`;
  return spawn('sh', ['-c', script, 'sh', ...enter, ...command], { stdio: 'pipe', env: withSbin });
}
