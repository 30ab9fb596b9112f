import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { beforeAll, expect, test } from 'vitest';
import { isUp, openMesh, sweep, waitFor } from '../../../box/mesh.ts';
import { boxDir, repoDir } from '../../../box/paths.ts';
import { runResult } from '../../../box/run.ts';
import { hostTraces } from '../host-traces.ts';

let untouched: Record<string, string[]>;

beforeAll(async () => {
  if (await isUp())
    throw new Error('a mesh is up: these tests start their own; `npm run -s mesh -- down` first');
  // A run before this one may have been killed, and what it left is not ours to be judged by.
  await sweep();
  untouched = await hostTraces();
  expect(untouched).toMatchObject({ cgroups: [], mounts: [], files: [], processes: [] });
});

const mesh = (...args: string[]) =>
  runResult('npm', ['run', '-s', 'mesh', '--', ...args], { cwd: repoDir });

/** Starts `up` (or a test run's own mesh) and returns when it has said a line that contains `text`. */
async function startUntil(args: string[], text: string) {
  const child = spawn(process.execPath, ['--import', 'tsx', ...args], {
    cwd: repoDir,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const lines = createInterface({ input: child.stderr });
  for await (const line of lines) if (line.includes(text)) return child;
  throw new Error(`${args.join(' ')} ended before it said '${text}'`);
}

const cli = `${boxDir}cli.ts`;
const owner = join(import.meta.dirname, 'owner.ts');

test('up, down, up, down: each works, and the machine is as before after each', async () => {
  for (const round of [1, 2]) {
    const up = await mesh('up');
    expect({ round, code: up.code, said: up.stderr.includes('ready') }).toEqual({
      round,
      code: 0,
      said: true,
    });
    expect((await mesh('kubectl', 'get', 'nodes', '-o', 'name')).stdout).toContain('node/node-2');
    expect((await mesh('down')).stdout).toBe('the mesh is down\n');
    expect(await hostTraces()).toEqual(untouched);
  }
  expect((await mesh('down')).stdout).toBe('no mesh is up\n');
});

test('Ctrl-C while it comes up ends it, and nothing is left', async () => {
  const child = await startUntil([cli, 'up'], 'waiting for istiod');
  child.kill('SIGINT');
  await waitFor('the end of everything', async () => {
    expect(await hostTraces()).toEqual(untouched);
    return true;
  });
});

test('kill -9 of a test run that owns a mesh ends the mesh, and the next one starts', async () => {
  const child = await startUntil([owner], 'mine');
  expect(await isUp()).toBe(true);
  child.kill('SIGKILL');
  await once(child, 'exit');
  await waitFor('the end of everything', async () => {
    expect(await hostTraces()).toEqual(untouched);
    return true;
  });
  const next = await startUntil([owner], 'mine');
  expect(await openMesh().kubectl(['get', 'nodes', '-o', 'name'])).toContain('node/node-1');
  next.kill('SIGTERM');
  await waitFor('the end of everything', async () => {
    expect(await hostTraces()).toEqual(untouched);
    return true;
  });
});

async function killEveryProcess() {
  const command = `pkill -KILL -f '(${boxDir}cluster/(keeper.sh|box.ts)|${owner})'`;
  await runResult('bash', ['-c', command]);
  await waitFor('the end of its processes', async () => {
    expect((await hostTraces()).processes).toEqual(untouched.processes);
    return true;
  });
}

test('kill -9 of every process of a mesh leaves at most what the next `up` or `down` removes', async () => {
  await startUntil([owner], 'mine');
  await killEveryProcess();
  await startUntil([owner], 'mine');
  await killEveryProcess();
  expect((await mesh('down')).stdout).toContain('removed what one that was killed had left');
  expect(await hostTraces()).toEqual(untouched);
});
