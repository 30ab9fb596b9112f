import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  createFleet,
  deleteNamespaces,
  failuresOf,
  learnTargets,
  urlOf,
} from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { loadOnNode, podsOf, reboot, untilWell } from './victims.ts';

const mesh = openMesh();
const namespace = 'reboot';
let client: PodRef;
let lost: string;

/** The node that goes has no part of what is called: names are resolved elsewhere too. */
beforeAll(async () => {
  // The file before this one may have ended with an outage.
  await untilWell(mesh);
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
  await learnTargets(mesh, client, 'client', [0, 1]);
});

afterAll(() => deleteNamespaces(mesh, namespace));

test('a node that reboots costs no call of another, and its pods learn again', async () => {
  const running = loadOnNode(mesh, client, [0, 1].map(urlOf), { rps: 500, seconds: 40 });
  running.catch(() => {});
  await sleep(2_000);
  await reboot(mesh, lost);
  expect(failuresOf(await running)).toEqual({ failed: 0, failures: [] });
  await untilWell(mesh);
  await mesh.rollout(namespace);
  const far = await mesh.pod(namespace, 'app=far');
  await learnTargets(mesh, far, 'far', [4]);
  await learnTargets(mesh, client, 'client', [5]);
});
