import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { expect, test, vi } from 'vitest';
import { repoDir } from '../../../box/paths.ts';

/** Starts a process of its own in a reaper, as an API server is, and says where both are. */
const owner = `
import { spawn } from 'node:child_process';
import { startReaper } from ${JSON.stringify(pathToFileURL(`${repoDir}/embedded/reaper.ts`).href)};
const reaper = await startReaper('test');
const child = spawn('sleep', ['600'], { stdio: 'ignore' });
reaper.add(child.pid);
console.log(JSON.stringify({ folder: reaper.folder, pid: child.pid }));
`;

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

test('what a process started ends with it, also by SIGKILL, and its folder is gone', async () => {
  const args = ['--import', 'tsx', '--input-type=module', '--eval', owner];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const { folder, pid } = JSON.parse(line) as { folder: string; pid: number };
  expect([isAlive(pid), existsSync(folder)]).toEqual([true, true]);
  child.kill('SIGKILL');
  await vi.waitFor(
    () => expect([isAlive(pid), existsSync(folder)]).toEqual([false, false]),
    30_000,
  );
});
