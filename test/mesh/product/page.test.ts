import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { createFleet, deleteNamespaces, target, untilImported, urlOf } from '../../../box/fleet.ts';
import { type RunningLoad, startLoad } from '../../../box/load.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { kubeconfigPath, repoDir } from '../../../box/paths.ts';
import { chromiumPath } from '../../../demo/chromium.ts';

// The page of real controllers in a browser, opened by `lazyscope dashboard`.

const mesh = openMesh();
const namespace = 'page';
const system = 'lazyscope-system';
/** A bound for what hangs, and no measure of the machine. */
const patienceMs = 120_000;
let client: PodRef;
let calls: RunningLoad | undefined;
let folder: string;
let dashboard: ChildProcess;
let browser: Browser | undefined;
let address: string;
let adminToken: string;

const viewer = { name: 'viewer', namespace };
const tenant = [
  { apiVersion: 'v1', kind: 'ServiceAccount', metadata: viewer },
  {
    ...{ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: viewer },
    rules: [{ apiGroups: ['lazyscope.io'], resources: ['workloadscopes'], verbs: ['list'] }],
  },
  {
    ...{ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata: viewer },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'viewer' },
    subjects: [{ kind: 'ServiceAccount', ...viewer }],
  },
];

beforeAll(async () => {
  await createFleet(mesh, { namespace, clients: ['client'], targets: 3 });
  await mesh.apply(tenant);
  client = await mesh.pod(namespace, 'app=client');
  expect((await call(mesh, client, urlOf(0))).status).toBe(200);
  await untilImported(mesh, namespace, 'client', [0]);
  // A history does not count the calls of its first minute, so one call may be none.
  calls = await startLoad(mesh, client, [urlOf(0)], { rps: 1 });
  // The API server, and so the forwarded port, has an address only in the network of the box.
  const command = ['--import', 'tsx', join(repoDir, 'command/main.ts'), 'dashboard'];
  const [program = '', ...args] = mesh.inNetwork([process.execPath, ...command, '--no-browser']);
  dashboard = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, KUBECONFIG: kubeconfigPath },
  });
  [, address = '', adminToken = ''] = await printed(dashboard, /^(http:.*)#token=(.*)$/);
  folder = await mkdtemp(join(tmpdir(), 'lazyscope-browser-'));
  const launcher = join(folder, 'chromium');
  const words = mesh.inNetwork([chromiumPath() ?? 'chromium']).map((word) => `'${word}'`);
  await writeFile(launcher, `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`);
  await chmod(launcher, 0o755);
  browser = await chromium.launch({ executablePath: launcher, args: ['--no-sandbox'] });
});

afterAll(async () => {
  await calls?.stop();
  await browser?.close();
  if (dashboard?.exitCode === null) {
    dashboard.kill('SIGINT');
    await once(dashboard, 'exit');
  }
  if (folder) await rm(folder, { recursive: true, force: true });
  await deleteNamespaces(mesh, namespace);
});

async function printed(child: ChildProcess, pattern: RegExp): Promise<string[]> {
  if (!child.stdout) throw new Error('no output');
  for await (const line of createInterface({ input: child.stdout })) {
    const found = pattern.exec(line);
    if (found) return [...found];
  }
  throw new Error(`it ended without ${pattern}`);
}

/** A profile of its own, so that no token is left of another page. */
async function open(token: string) {
  const page = await (browser as Browser).newPage({ viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(patienceMs);
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  await page.goto(`${address}#token=${token}`);
  return { page, problems };
}

async function goTo(page: Page, hash: string, title: RegExp): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
  await page.getByRole('heading', { level: 2, name: title }).waitFor();
}

/** Milliseconds since the epoch, as the controller says that serves the page. */
async function historyBegan(page: Page): Promise<number> {
  await page.getByText('History begins at').waitFor();
  // The forwarded port is in the network of the browser.
  return page.evaluate(async (authorization) => {
    const answer = await fetch('/api/v1/overview', { headers: { authorization } });
    if (answer.status !== 200) throw new Error(`status ${answer.status}`);
    return ((await answer.json()) as { beginsAt: number }).beginsAt;
  }, `Bearer ${adminToken}`);
}

test('a workload, its calls and what would happen to a call are those of the mesh', async () => {
  const { page, problems } = await open(adminToken);
  await page.getByRole('cell', { name: namespace, exact: true }).first().waitFor();
  await goTo(page, `#/topology/${namespace}`, /page/);
  await page.getByLabel('Span').selectOption('60');
  await page
    .getByRole('cell', { name: `${target(0)}.${namespace}` })
    .first()
    .waitFor();
  await goTo(page, `#/workloads/${namespace}/client`, /page\/client/);
  await page.getByText('Scoped:').first().waitFor();
  await page.getByLabel('Host, host:port or URL').fill(urlOf(1));
  await page.getByRole('button', { name: 'Explain' }).click();
  const steps = page.getByRole('region', { name: `A call to ${urlOf(1)}` });
  await steps.waitFor();
  expect(await steps.innerText()).toMatch(/first call/i);
  expect(problems).toEqual([]);
  await page.close();
});

test('a tenant sees its own namespace; a token of nobody is refused', async () => {
  const token = (await mesh.kubectl(['create', 'token', 'viewer', '-n', namespace])).trim();
  const { page } = await open(token);
  await page.getByText('Only the namespaces that you may list').waitFor();
  await goTo(page, '#/workloads', /^Workloads$/);
  await page.getByText('page/client').waitFor();
  const links = await page.getByRole('main').getByRole('link').allInnerTexts();
  expect([...new Set(links.map((link) => link.split('/')[0]))]).toEqual([namespace]);
  await page.close();
  const refused = await open('eyJhbGciOiJub25lIn0.e30.x');
  await refused.page.getByRole('alert').filter({ hasText: 'does not accept' }).waitFor();
  await refused.page.close();
});

test('while the controllers are replaced, the page stays open and loses no history', async () => {
  const { page, problems } = await open(adminToken);
  await page.locator('#age', { hasText: 'live' }).waitFor();
  const began = await historyBegan(page);
  await mesh.kubectl(['rollout', 'restart', 'deployment/lazyscope-controller', '-n', system]);
  await mesh.rollout(system);
  // A first call, which only the new controllers heard, arrives by events of theirs.
  expect((await call(mesh, client, urlOf(2))).status).toBe(200);
  await page
    .getByText(`${target(2)}.${namespace}`)
    .first()
    .waitFor();
  await page.locator('#age', { hasText: 'live' }).waitFor();
  // Replicas that started together have a beginning each; the new ones have the earlier one.
  expect(await historyBegan(page)).toBeLessThanOrEqual(began);
  await goTo(page, `#/topology/${namespace}`, /page/);
  await page
    .getByRole('cell', { name: `${target(0)}.${namespace}` })
    .first()
    .waitFor();
  expect(problems).toEqual([]);
  await page.close();
});
