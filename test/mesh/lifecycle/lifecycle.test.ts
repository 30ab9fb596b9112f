import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { beforeAll, expect, test } from 'vitest';
import { isUp, openMesh, sweep, waitFor } from '../../../box/mesh.ts';
import { boxDir, repoDir, stateDir } from '../../../box/paths.ts';
import { runResult } from '../../../box/run.ts';
import { hostTraces } from '../host-traces.ts';

let untouched: Record<string, string[]>;

beforeAll(async () => {
  if (await isUp())
    throw new Error('a mesh is up: these tests start their own; `npm run -s mesh -- down` first');
  // A killed earlier run may have left traces, which must not fail this run.
  await sweep();
  untouched = await hostTraces();
  expect(untouched).toMatchObject({ cgroups: [], mounts: [], files: [], processes: [] });
});

const mesh = (...args: string[]) =>
  runResult('npm', ['run', '-s', 'mesh', '--', ...args], { cwd: repoDir });

/**
 * Starts `up` (or a test run that owns a mesh) and returns when a line of the output contains
 * `text`.
 */
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

const untilNothingIsLeft = () =>
  waitFor('the end of everything', async () => {
    expect(await hostTraces()).toEqual(untouched);
    return true;
  });

/** The options with which a first visitor would try the product. */
const upWithProduct = ['up', '--shop', '--product', '--enforce', 'shop', '--learning-seconds', '0'];

test('up with the product narrows a shop, down removes everything, and a second down finds nothing', async () => {
  const { code, stdout, stderr } = await mesh(...upWithProduct);
  expect({ code, said: stderr.includes('ready') }).toEqual({ code: 0, said: true });
  expect(stdout).toContain('npm run -s mesh -- kubectl get workloadscopes -n shop');
  expect((await mesh('kubectl', 'get', 'nodes', '-o', 'name')).stdout).toContain('node/node-2');
  const narrowed = async () => {
    const { stdout: scopes } = await mesh('kubectl', 'get', 'workloadscopes', '-n', 'shop');
    return scopes.match(/enforce +Enforced /g)?.length === 8;
  };
  await waitFor('the shop to be narrowed', narrowed, 120);
  const status = (await mesh('lazyscope', 'status', '-n', 'shop')).stdout;
  expect(status).toContain('8 of 8 workloads in 1 namespace narrowed');
  expect((await mesh('enable', 'other', 'observe')).stdout).toBe('other: observe\n');
  const plugins = await mesh('kubectl', 'get', 'wasmplugin', '-n', 'other', '-o', 'name');
  expect(plugins.stdout).toContain('wasmplugin.extensions.istio.io/lazyscope\n');
  expect((await mesh('down')).stdout).toBe('the mesh is down\n');
  expect(await hostTraces()).toEqual(untouched);
  expect((await mesh('down')).stdout).toBe('no mesh is up\n');
});

/** Kills the processes of this mesh only, because another mesh may be up on the same machine. */
async function killEveryProcess(child: ChildProcess) {
  child.kill('SIGKILL');
  const pattern = `${boxDir}cluster/(keeper.sh|box.ts) .*${stateDir}[" ]`;
  await runResult('pkill', ['-KILL', '-f', '--', pattern]);
  await waitFor('the end of its processes', async () => {
    expect((await hostTraces()).processes).toEqual(untouched.processes);
    return true;
  });
}

test('kill -9 of a test run that owns a mesh ends the mesh, and the next one starts', async () => {
  const child = await startUntil([owner], 'mine');
  expect(await isUp()).toBe(true);
  child.kill('SIGKILL');
  await once(child, 'exit');
  await untilNothingIsLeft();
  const next = await startUntil([owner], 'mine');
  expect(await openMesh().kubectl(['get', 'nodes', '-o', 'name'])).toContain('node/node-1');
  await killEveryProcess(next);
});

test('`down` removes the remains of kill -9 of every process', async () => {
  expect((await mesh('down')).stdout).toContain('removed the leftovers of a killed mesh');
  expect(await hostTraces()).toEqual(untouched);
});

test('the next `up` also removes them, and Ctrl-C ends that `up`', async () => {
  await killEveryProcess(await startUntil([cli, 'up'], 'waiting for istiod'));
  expect(await hostTraces()).not.toEqual(untouched);
  const child = await startUntil([cli, 'up'], 'waiting for istiod');
  child.kill('SIGINT');
  await untilNothingIsLeft();
});
