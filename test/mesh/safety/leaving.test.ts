import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { deleteNamespaces, untilNarrowed } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { repoDir } from '../../../box/paths.ts';
import { setMode } from '../../../box/product.ts';
import { enableClient } from './clients.ts';
import { noCallFails, ours, sidecarName, untilFull, untilNothingIs, untilReason } from './rig.ts';

const mesh = openMesh();
const [namespace, away] = ['leaving', 'leaving-away'] as const;
let client: PodRef;
let caller: PodRef;

beforeAll(async () => {
  [client, caller] = await Promise.all([
    enableClient(mesh, namespace, 'enforce'),
    enableClient(mesh, away, 'enforce'),
  ]);
});

// What a failed test left behind must not fail the next one.
beforeEach(async () => {
  await define();
  await mesh.kubectl(['delete', 'sidecar', 'mine', '-n', namespace, '--ignore-not-found']);
  await setMode(mesh, namespace, 'enforce');
  await untilNarrowed(mesh, namespace, ['client']);
});

afterAll(async () => {
  await define();
  await deleteNamespaces(mesh, namespace, away);
});

const definition = join(repoDir, 'manifests', 'base', 'crd.yaml');
const define = () => mesh.kubectl(['apply', '--server-side', '-f', definition]);

const filterObjects = [
  'envoyfilter.networking.istio.io/lazyscope',
  'wasmplugin.extensions.istio.io/lazyscope',
  'wasmplugin.extensions.istio.io/lazyscope-tcp',
];
const firstMost = 45;
let taken = 2;

/** Runs `change` under known calls and first calls, and expects that none of these calls fails. */
async function underLoad(change: () => Promise<unknown>): Promise<void> {
  const first = { at: taken, most: firstMost };
  taken += firstMost;
  await noCallFails(mesh, client, first, change);
}

test('mode off restores full configuration, and no call fails', async () => {
  await underLoad(async () => {
    await setMode(mesh, namespace, 'off');
    await untilFull(mesh, client);
  });
  await untilReason(mesh, namespace, 'Off');
  expect(await ours(mesh, namespace)).not.toContain(`sidecar.networking.istio.io/${sidecarName}`);
});

test('a user’s Sidecar replaces the scope and is removed again, and no call fails', async () => {
  const everything = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Sidecar',
    metadata: { name: 'mine', namespace },
    spec: { workloadSelector: { labels: { app: 'client' } }, egress: [{ hosts: ['*/*'] }] },
  };
  await underLoad(async () => {
    await mesh.apply([everything]);
    await untilReason(mesh, namespace, 'ForeignSidecar');
    await untilFull(mesh, client);
    await mesh.kubectl(['delete', 'sidecar', 'mine', '-n', namespace]);
    await untilReason(mesh, namespace, 'Enforced');
    await untilNarrowed(mesh, namespace, ['client']);
  });
});

test('the deletion of the WorkloadScope definition restores full configuration, and no call fails', async () => {
  await underLoad(async () => {
    await mesh.kubectl(['delete', 'crd', 'workloadscopes.lazyscope.io']);
    await untilFull(mesh, client);
  });
  expect(await mesh.kubectl(['get', 'sidecars', '-n', namespace, '-o', 'name'])).toBe('');
});

test('a namespace that loses its label keeps only the objects that its user applied', async () => {
  await underLoad(async () => {
    await mesh.kubectl(['label', 'namespace', namespace, 'lazyscope.io/mode-']);
    await untilFull(mesh, client);
  });
  await untilNothingIs(mesh, namespace, 'workloadscopes');
  expect(await ours(mesh, namespace)).toEqual(filterObjects);
});

test('a namespace is deleted while its pods still call: no call fails', async () => {
  await noCallFails(mesh, caller, { at: 2, most: 100 }, async () => {
    await deleteNamespaces(mesh, away);
    await untilFull(mesh, caller);
  });
  // The pod lingers no longer than necessary.
  await mesh.kubectl(['delete', 'pod', caller.name, '-n', away, '--grace-period=1']);
  await mesh.waitFor('the end of the namespace', async () => {
    const names = await mesh.kubectl(['get', 'namespaces', '-o', 'name']);
    return !names.includes(`namespace/${away}`);
  });
});
