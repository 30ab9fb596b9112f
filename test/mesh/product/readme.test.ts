import { chmod, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { deleteNamespaces, scopeStatus } from '../../../box/fleet.ts';
import { openMesh } from '../../../box/mesh.ts';
import { repoDir } from '../../../box/paths.ts';
import { installProduct, narrowAtOnce } from '../../../box/product.ts';
import { run } from '../../../box/run.ts';
import { appPorts, namespaceObject, workload } from '../../../box/shop.ts';
import { commandsRunBy } from '../../readme-commands.ts';

// Runs the README's commands on a cluster, unchanged, in a copy of the files that they edit.

// The commands roll the controllers out twice.
vi.setConfig({ testTimeout: 600_000 });

const mesh = openMesh();
/** Another test uses the namespace of the README. */
const namespace = 'readme';
let folder: string;

/** Programs under the names that the commands use. */
const programs = () => ({
  kubectl: `exec ${mesh.argv('kubectl', []).join(' ')} "$@"`,
  // The person or job that runs this test has already installed and built.
  npm: 'exit 0',
  // There is no Docker on this machine. The nodes have an image of this Dockerfile
  // (companion-image.ts).
  docker: '[ "$*" = "build -t lazyscope/companion:0.1.0 ." ] && [ -e Dockerfile ]',
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lazyscope-readme-'));
  await mkdir(join(folder, 'bin'));
  for (const [name, body] of Object.entries(programs())) {
    await writeFile(join(folder, 'bin', name), `#!/bin/sh\n${body}\n`);
    await chmod(join(folder, 'bin', name), 0o755);
  }
  for (const path of ['manifests', 'build/filter.wasm', 'Dockerfile'])
    await cp(join(repoDir, path), join(folder, path), { recursive: true });
  const shop = ['frontend', 'cart'].flatMap((name) => workload(namespace, name));
  await mesh.apply([namespaceObject(namespace), ...shop]);
  await mesh.rollout(namespace);
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
  await deleteNamespaces(mesh, namespace);
  // The next run on a mesh that stays up expects these settings; this file is the last of a run.
  if (process.env.MESH === 'keep') await installProduct(mesh, console.error, narrowAtOnce);
});

function sh(command: string): Promise<string> {
  const here = command.replace(/\bshop\b/g, namespace);
  return run('sh', ['-c', here], {
    cwd: folder,
    env: { ...process.env, PATH: `${join(folder, 'bin')}:${process.env.PATH}` },
  });
}

async function callCart(): Promise<number> {
  const frontend = await mesh.pod(namespace, 'app=frontend');
  return (await call(mesh, frontend, `http://cart:${appPorts.http}/`)).status;
}

/**
 * With the README's settings the product learns for a day: the namespace accepts `enforce`, but no
 * workload is narrowed yet.
 */
async function untilLearning(): Promise<void> {
  await mesh.waitFor('the learning window', async () => {
    const { conditions = [] } = await scopeStatus(mesh, namespace, 'frontend');
    return conditions.some(({ type, reason }) => type === 'Scoped' && reason === 'Learning');
  });
}

test('the README’s commands install, observe, enforce and turn off', async () => {
  const commands = commandsRunBy('cluster');
  const printed = new Map<string, string>();
  for (const command of commands) {
    console.error(`$ ${command}`);
    printed.set(command, await sh(command));
    if (command.includes('mode=enforce')) await untilLearning();
    if (!command.startsWith('kubectl apply')) continue;
    await mesh.rollout('lazyscope-system');
    if (!command.includes('shop')) continue;
    await mesh.waitFor(
      'both proxies to report',
      async () => {
        expect(await callCart()).toBe(200);
        const states = await Promise.all(
          ['frontend', 'cart'].map((name) =>
            scopeStatus(mesh, namespace, name).catch(() => undefined),
          ),
        );
        return states.every((state) => state?.proxies?.reporting === 1);
      },
      180,
    );
  }
  const of = (part: string) =>
    printed.get(commands.find((each) => each.includes(part)) ?? '') ?? '';
  expect(of('get workloadscopes')).toMatch(/^NAME +MODE +SCOPED +HOSTS /);
  expect(of('-o yaml')).toContain('kind: WorkloadScope');
  expect(of('rollout status')).toContain('successfully rolled out');
  // The filter and the scopes are gone, and calls still succeed.
  const left = await mesh.kubectl([
    'get',
    'sidecars,wasmplugins,envoyfilters',
    '-n',
    namespace,
    '-o',
    'name',
  ]);
  expect(left).toBe('');
  expect(await callCart()).toBe(200);
});
