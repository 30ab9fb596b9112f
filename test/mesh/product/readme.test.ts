import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { deleteNamespaces, scopeStatus } from '../../../box/fleet.ts';
import { type Helm, openHelm } from '../../../box/helm.ts';
import { startLoad } from '../../../box/load.ts';
import { openMesh } from '../../../box/mesh.ts';
import { repoDir } from '../../../box/paths.ts';
import { installProduct, narrowAtOnce } from '../../../box/product.ts';
import { appPorts, namespaceObject, workload } from '../../../box/shop.ts';
import { commandsRunBy } from '../../readme-commands.ts';
import { expectAllAnswered, leastSince, rateHere } from '../traffic.ts';
import { openUserShell } from '../user-shell.ts';

// Runs the README's commands on a cluster, unchanged, in a copy of the files that they edit.

// The commands roll the controllers out twice.
vi.setConfig({ testTimeout: 600_000 });

const mesh = openMesh();
/** Another test uses the namespace of the README. */
const namespace = 'readme';
let helm: Helm;
let shell: Awaited<ReturnType<typeof openUserShell>>;
const sh = (command: string) => shell.sh(command.replace(/\bshop\b/g, namespace));

/** Programs under the names that the commands use. */
const programs = () => ({
  helm: `exec ${helm.argv.join(' ')} "$@"`,
  kubectl: `exec ${mesh.argv('kubectl', []).join(' ')} "$@"`,
  // The person or job that runs this test has already installed and built.
  npm: 'exit 0',
  // There is no Docker on this machine. The nodes have an image of this Dockerfile
  // (companion-image.ts).
  docker: '[ "$*" = "build -t lazyscope/companion:0.1.0 ." ] && [ -e Dockerfile ]',
});

beforeAll(async () => {
  helm = await openHelm(mesh);
  shell = await openUserShell(programs(), ['manifests', 'Dockerfile']);
  await cp(helm.charts, join(shell.folder, 'build', 'charts'), { recursive: true });
  // Users begin on a cluster without Lazyscope.
  await mesh.kubectl(['delete', '-k', join(repoDir, 'manifests', 'base'), '--timeout=120s']);
  const shop = ['frontend', 'cart'].flatMap((name) => workload(namespace, name));
  await mesh.apply([namespaceObject(namespace), ...shop]);
  await mesh.rollout(namespace);
});

afterAll(async () => {
  await shell.close();
  await helm.close();
  await deleteNamespaces(mesh, namespace);
  // The next run on a mesh that stays up expects these settings; this file is the last of a run.
  if (process.env.MESH === 'keep') await installProduct(mesh, console.error, narrowAtOnce);
});

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

/**
 * What a GitOps tool does again and again: it applies the objects of the chart on the server, under
 * a name of its own. Nothing that the product or the cluster has written since differs from them.
 */
async function expectNoDrift(release: string, chart: string, where: string): Promise<void> {
  const rendered = await sh(`helm template ${release} build/charts/${chart} --namespace ${where}`);
  const diff = ['diff', '--server-side', '--field-manager=gitops', '-f', '-'];
  expect(await mesh.kubectl(diff, rendered)).toBe('');
}

/** The commands that take everything away. No call fails meanwhile. */
const isRemoval = (command: string) => /remove\.sh|helm uninstall/.test(command);

async function startCalls(): Promise<() => Promise<void>> {
  const frontend = await mesh.pod(namespace, 'app=frontend');
  const urls = [`http://cart:${appPorts.http}/`];
  const rps = await rateHere(mesh, frontend, urls, { wanted: 100 });
  const calls = await startLoad(mesh, frontend, urls, { rps, more: ['--connections', '4'] });
  return async () => {
    const least = leastSince(calls, rps);
    expectAllAnswered(await calls.stop(), { least });
  };
}

test('the README’s commands install, observe, enforce and turn off', async () => {
  const commands = commandsRunBy('cluster');
  const printed = new Map<string, string>();
  let stopCalls: (() => Promise<void>) | undefined;
  for (const command of commands) {
    console.error(`$ ${command}`);
    if (isRemoval(command)) stopCalls ??= await startCalls();
    printed.set(command, await sh(command));
    if (command.includes('mode=enforce')) await untilLearning();
    if (!command.includes('mode=observe')) continue;
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
    await expectNoDrift('lazyscope', 'lazyscope', 'lazyscope-system');
    await expectNoDrift('lazyscope-filter', 'lazyscope-namespace', namespace);
  }
  await stopCalls?.();
  const of = (part: string) =>
    printed.get(commands.find((each) => each.includes(part)) ?? '') ?? '';
  expect(of('get workloadscopes')).toMatch(/^NAME +MODE +SCOPED +HOSTS /);
  expect(of('-o yaml')).toContain('kind: WorkloadScope');
  expect(of('helm install lazyscope ')).toContain('STATUS: deployed');
  expect(of('helm uninstall lazyscope ')).toContain('kept due to the resource policy');
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
