import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, test } from 'vitest';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lazyscope-log-'));
  // A loader of TypeScript in the process would itself change how its standard output writes.
  await build({
    entryPoints: [join(import.meta.dirname, 'flood-log.ts')],
    outfile: join(folder, 'flood-log.cjs'),
    bundle: true,
    platform: 'node',
  });
});

afterAll(() => rm(folder, { recursive: true }));

test('a process whose log nobody reads, as with a full disk, continues without the log, and stops when it must', async () => {
  // The pipe of a shell is what container runtimes give; this reader reads nothing.
  const shell = spawn('sh', ['-c', 'node "$0/flood-log.cjs" | sleep 60', folder], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  try {
    const [said] = await once(shell.stderr, 'data');
    expect(String(said)).toMatch(/^\d+ is alive, dropped true\n$/);
    const pid = Number.parseInt(String(said), 10);
    process.kill(pid, 'SIGTERM');
    await expect.poll(() => isRunning(pid), { timeout: 20_000 }).toBe(false);
  } finally {
    process.kill(-(shell.pid as number), 'SIGKILL');
  }
}, 30_000);

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
