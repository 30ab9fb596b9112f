import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../run.ts';

type Listed = { name?: string; id: number; pinned?: string[] };

/** Names of the bypass's programs and maps in the kernel, which frees them a moment later. */
export async function leftovers(): Promise<string[]> {
  let found: string[] = [];
  for (let attempt = 0; attempt < 50; attempt++) {
    const listed = await Promise.all(['prog', 'map'].map(list));
    found = listed.flat().filter((name) => mine.test(name));
    if (found.length === 0) return found;
    await sleep(100);
  }
  return found;
}

/** The names in the kernel, cut to 15 characters. */
const mine = /^(bypass_|connections$|expected$|listeners$|waiting$|flows$|bypass\.)/;

async function list(kind: string): Promise<string[]> {
  const text = await run('bpftool', ['--json', kind, 'list'], { env: withSbin });
  return (JSON.parse(text || '[]') as Listed[]).map(({ name = '' }) => name);
}

/** Debian installs some programs in folders that only root has in its PATH. */
export const withSbin = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };

/** Lines of the kernel's log that report bugs. */
export async function kernelBugLines(): Promise<string[]> {
  const log = await run('dmesg', [], { env: withSbin });
  return log
    .split('\n')
    .filter((line) => /WARNING|BUG|Oops|Call Trace|stall|hung task|refcount|use-after/.test(line));
}
