import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../app-call.ts';
import {
  createFleet,
  deleteNamespaces,
  entryOf,
  failuresOf,
  importedHosts,
  target,
} from '../fleet.ts';
import { openMesh, type PodRef } from '../mesh.ts';
import { appPorts } from '../shop.ts';
import { loadOnNode, podsOf, reboot, untilWell } from './victims.ts';

const mesh = openMesh();
const namespace = 'reboot';
let client: PodRef;
let lost: string;

const urlOf = (index: number) => `http://${target(index)}:${appPorts.http}/`;

/** The node that goes has no part of what is called: names are resolved elsewhere too. */
beforeAll(async () => {
  const [dns] = await podsOf(mesh, 'kube-system', 'k8s-app=kube-dns');
  const kept = dns?.spec.nodeName ?? 'node-1';
  lost = kept === 'node-1' ? 'node-2' : 'node-1';
  await createFleet(mesh, {
    namespace,
    clients: ['client', 'far'],
    targets: 6,
    strict: true,
    nodes: { client: kept, server: kept, far: lost },
  });
  client = await mesh.pod(namespace, 'app=client');
  for (const index of [0, 1]) await call(mesh, client, urlOf(index));
  await untilImported('client', [0, 1]);
});

afterAll(() => deleteNamespaces(mesh, namespace));

async function untilImported(name: string, indices: number[]): Promise<void> {
  await mesh.waitFor('the scope', async () => {
    const hosts = await importedHosts(mesh, namespace, name);
    return indices.every((index) => hosts.includes(entryOf(namespace, target(index))));
  });
}

test('a node that reboots costs no call of another, and its pods learn again', async () => {
  const running = loadOnNode(mesh, client, [0, 1].map(urlOf), { rps: 500, seconds: 40 });
  running.catch(() => {});
  await sleep(2_000);
  await reboot(mesh, lost);
  expect(failuresOf(await running)).toEqual({ failed: 0, failures: [] });
  await untilWell(mesh);
  await mesh.rollout(namespace);
  const far = await mesh.pod(namespace, 'app=far');
  await mesh.waitFor('a first call from that node', async () => {
    return (await call(mesh, far, urlOf(4))).status === 200;
  });
  await untilImported('far', [4]);
  await mesh.waitFor('a first call from the other', async () => {
    return (await call(mesh, client, urlOf(5))).status === 200;
  });
  await untilImported('client', [5]);
});
