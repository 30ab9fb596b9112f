import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { deleteNamespaces } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { repoDir } from '../../../box/paths.ts';
import { run } from '../../../box/run.ts';
import { enableClient } from './clients.ts';
import { noCallFails, noKnownCallFails, untilFull } from './rig.ts';

const mesh = openMesh();
const namespace = 'removal';
let client: PodRef;
let tools: string;

beforeAll(async () => {
  client = await enableClient(mesh, namespace, 'enforce');
  tools = await mkdtemp(join(tmpdir(), 'lazyscope-tools-'));
  const command = mesh.argv('kubectl', []).map((word) => `'${word}'`);
  await writeFile(join(tools, 'kubectl'), `#!/bin/sh\nexec ${command.join(' ')} "$@"\n`);
  await chmod(join(tools, 'kubectl'), 0o755);
});

afterAll(async () => {
  await rm(tools, { recursive: true });
  await deleteNamespaces(mesh, namespace);
});

const everyKind = [
  'sidecars,envoyfilters,wasmplugins,serviceentries',
  'clusterroles,clusterrolebindings,customresourcedefinitions,priorityclasses,namespaces',
];

async function leftovers(): Promise<string[]> {
  const lists = await Promise.all(
    everyKind.map((kinds) => mesh.kubectl(['get', kinds, '-A', '-o', 'name'])),
  );
  return lists
    .join('\n')
    .split('\n')
    .filter((name) => /lazyscope/.test(name));
}

test('the whole system is removed under load: no call fails, and nothing of it remains', async () => {
  await noCallFails(mesh, client, { at: 2, most: 150 }, async () => {
    const env = { ...process.env, PATH: `${tools}${delimiter}${process.env.PATH}` };
    await run(join(repoDir, 'manifests', 'remove.sh'), ['--all'], { env });
    expect(await leftovers()).toEqual([]);
    const { metadata } = await mesh.get(['namespace', namespace]);
    expect(Object.keys(metadata.labels)).not.toContain('lazyscope.io/mode');
    await untilFull(mesh, client);
  });
});

test('the base is deleted before the namespaces: known calls succeed, and nothing hangs', async () => {
  client = await enableClient(mesh, namespace, 'enforce');
  await noKnownCallFails(mesh, client, async () => {
    await mesh.kubectl(['delete', '-k', join(repoDir, 'manifests', 'base'), '--timeout=120s']);
    await untilFull(mesh, client);
    expect(await mesh.kubectl(['get', 'sidecars', '-n', namespace, '-o', 'name'])).toBe('');
  });
});
