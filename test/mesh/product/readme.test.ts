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

// The README's steps on a cluster, each command as it stands there, in a copy of what it touches.

// The controllers are rolled out anew on the way, twice.
vi.setConfig({ testTimeout: 600_000 });

const mesh = openMesh();
/** Another test has a namespace of the README's name. */
const namespace = 'readme';
let folder: string;

/** Programs as the commands name them. */
const programs = () => ({
  kubectl: `exec ${mesh.argv('kubectl', []).join(' ')} "$@"`,
  // Whoever runs this test has installed and built already.
  npm: 'exit 0',
  // There is no Docker here; the image of this very Dockerfile is on the nodes
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
  // The settings that the other tests count on.
  await installProduct(mesh, console.error, narrowAtOnce);
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

/** The README's settings learn for a day first: enforcing is taken, and nothing is narrowed yet. */
async function untilLearning(): Promise<void> {
  await mesh.waitFor('the learning window', async () => {
    const { conditions = [] } = await scopeStatus(mesh, namespace, 'frontend');
    return conditions.some(({ type, reason }) => type === 'Scoped' && reason === 'Learning');
  });
}

test('installing, watching, enforcing and turning off go as the README says', async () => {
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
  // The filter is gone, and nothing else with it.
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
