import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loaderPath } from '../paths.ts';
import { run } from '../run.ts';

type Kind = 'prog' | 'map';
type Listed = { name?: string; id: number };

/**
 * Names of the bypass's programs and maps in the kernel, which frees them a moment later: looks
 * `attempts` times, 100 ms apart. Those that a loader of another checkout or of the node's own
 * bypass holds are not ours to judge.
 */
export async function leftovers(attempts = 50): Promise<string[]> {
  let found: string[] = [];
  for (let attempt = 0; attempt < attempts; attempt++) {
    found = (await Promise.all((['prog', 'map'] as const).map(unclaimed))).flat();
    if (found.length === 0) return found;
    await sleep(100);
  }
  return found;
}

/** The names in the kernel, cut to 15 characters. */
const mine =
  /^(bypass_|arrived$|connections$|expected$|listeners$|readers$|waiting$|watched$|flows$|bypass\.)/;

async function unclaimed(kind: Kind): Promise<string[]> {
  const text = await run('bpftool', ['--json', kind, 'list'], { env: withSbin });
  const listed = (JSON.parse(text || '[]') as Listed[]).filter(({ name = '' }) => mine.test(name));
  if (listed.length === 0) return [];
  const claimed = await heldElsewhere(kind);
  return listed.filter(({ id }) => !claimed.has(id)).map(({ name = '' }) => name);
}

/** The ids that loaders of another path than ours have open. */
async function heldElsewhere(kind: Kind): Promise<Set<number>> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const open = await Promise.all(
    pids.map(async (pid) => {
      const path = await readlink(`/proc/${pid}/exe`).catch(() => '');
      return path !== loaderPath && path.endsWith('/lazyscope-bypass') ? idsOf(kind, pid) : [];
    }),
  );
  return new Set(open.flat());
}

/** A process that ends meanwhile has nothing open. */
async function idsOf(kind: Kind, pid: string): Promise<number[]> {
  const folder = `/proc/${pid}/fdinfo`;
  const fds = await readdir(folder).catch(() => []);
  const texts = await Promise.all(
    fds.map((fd) => readFile(join(folder, fd), 'utf8').catch(() => '')),
  );
  const line = new RegExp(`^${kind}_id:\\s+(\\d+)$`, 'm');
  return texts.flatMap((text) => Number(line.exec(text)?.[1] ?? []));
}

/** Debian installs some programs in folders that only root has in its PATH. */
export const withSbin = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

/** Lines of the kernel's log that report bugs. */
export async function kernelBugLines(): Promise<string[]> {
  return bugLines(await run('dmesg', [], { env: withSbin }));
}

/** Lines between the head of a report and its call trace: the process, the hardware. */
const headLines = 4;

/** A container that exceeds its memory has a call trace in the log, too, which is no bug. */
export function bugLines(log: string): string[] {
  const lines = log.split('\n');
  const isOfMemory = (at: number) =>
    lines
      .slice(Math.max(0, at - headLines), at)
      .some((line) => line.includes('invoked oom-killer'));
  return lines.filter((line, at) =>
    line.includes('Call Trace')
      ? !isOfMemory(at)
      : /WARNING|BUG|Oops|stall|hung task|refcount|use-after/.test(line),
  );
}
