import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiServer, startApiServer } from '../../box/api/api-server.ts';
import type { Diagnosis } from '../../command/doctor/check.ts';
import { connectCluster } from '../../command/frame/cluster.ts';
import type { KubeObject } from '../../companion/kube/object.ts';
import { collectionPath } from '../../companion/kube/path.ts';
import { meshCases } from '../unit/command/doctor/real-control-planes.ts';
import { healthyObjects } from '../unit/command/doctor/real-mesh.ts';
import { objectCases } from '../unit/command/doctor/real-objects.ts';
import { commandLine } from '../unit/command/host.ts';

// The doctor reads a real API server, which has checked every object by its schema, by the clients
// and in the pages that users have.

let api: ApiServer;
let folder: string;

beforeAll(async () => {
  api = await startApiServer(console.error);
  folder = await mkdtemp(join(tmpdir(), 'lazyscope-doctor-'));
  const server = `https://127.0.0.1:${api.environment.KUBERNETES_SERVICE_PORT}`;
  const cluster = { server, 'certificate-authority': join(api.account, 'ca.crt') };
  const config = {
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'here' },
    clusters: [{ name: 'box', cluster }],
    users: [{ name: 'admin', user: { token: 'bench' } }],
    contexts: [{ name: 'here', context: { cluster: 'box', user: 'admin' } }],
  };
  await writeFile(join(folder, 'config'), JSON.stringify(config));
});
afterAll(async () => {
  await api?.stop();
  await rm(folder, { recursive: true, force: true });
});

function pathsOf({ apiVersion, kind, metadata: { namespace, name } }: KubeObject) {
  const [version = '', group = ''] = apiVersion.split('/').reverse();
  const lower = kind.toLowerCase();
  const plural = lower.endsWith('y') ? `${lower.slice(0, -1)}ies` : `${lower}s`;
  const resource = { group, version, plural };
  return {
    collection: collectionPath(resource, namespace),
    object: collectionPath(resource, namespace, name),
  };
}

/** Creates objects, or changes those that are there; namespaces first, and status apart. */
async function apply(objects: readonly KubeObject[]): Promise<void> {
  const isNamespace = ({ kind }: KubeObject) => kind === 'Namespace';
  for (const object of objects.filter(isNamespace)) await applyOne(object);
  const rest = objects.filter((object) => !isNamespace(object)).values();
  const worker = async () => {
    for (const object of rest) await applyOne(object);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

async function applyOne(object: KubeObject): Promise<void> {
  const paths = pathsOf(object);
  await api.call('POST', paths.collection, object).catch(async (error: Error) => {
    if (!error.message.includes(': 409 ')) throw error;
    await api.call('PATCH', paths.object, object);
  });
  const { status } = object;
  if (status) await api.call('PATCH', `${paths.object}/status`, { status });
}

async function doctor(options = '') {
  const cluster = await connectCluster({ kubeconfig: join(folder, 'config') });
  const { out, err } = await commandLine(`doctor -o json ${options}`.trim(), cluster);
  expect(err).toBe('');
  return (JSON.parse(out) as { findings: Diagnosis[] }).findings;
}

/** In the order of their names. */
const named = (findings: { id: string; subject: string }[]) =>
  findings.map(({ id, subject }) => `${id}: ${subject}`).sort();

/** Every case is found once, with its words, and nothing else is. */
function expectExactly(findings: Diagnosis[], cases: typeof objectCases): void {
  const wanted = [...cases].map(([id, { subject }]) => ({ id, subject }));
  expect(named(findings)).toEqual(named(wanted));
  for (const { id, sentence } of findings) expect(sentence).toContain(cases.get(id)?.words);
}

test('on the objects of a healthy mesh no check cries', async () => {
  await apply(healthyObjects);
  expect(await doctor()).toEqual([]);
});

test('each check finds the objects that make its condition true, and no other check does', async () => {
  await apply([...objectCases.values()].flatMap(({ objects }) => objects));
  expectExactly(await doctor(), objectCases);
});

test.each([...meshCases])('%s finds its condition in the mesh configuration', async (id, found) => {
  await apply(found.objects);
  expectExactly(await doctor(`--only ${[...meshCases.keys()].join()}`), new Map([[id, found]]));
});
