import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../app-call.ts';
import { createFleet, deleteNamespaces, learnTargets, target } from '../fleet.ts';
import { openMesh, type PodRef } from '../mesh.ts';
import { appPorts } from '../shop.ts';
import { untilWell } from './victims.ts';

const mesh = openMesh();
const namespace = 'rollout';
const system = 'lazyscope-system';
const targets = 200;
let client: PodRef;

beforeAll(async () => {
  await createFleet(mesh, { namespace, clients: ['client'], targets, strict: true });
  client = await mesh.pod(namespace, 'app=client');
  await untilWell(mesh);
  await learnTargets(mesh, client, 'client', [0]);
});

afterAll(() => deleteNamespaces(mesh, namespace));

/** Under STRICT mTLS nothing but an answer makes a first call succeed. */
test('while both controllers are replaced, one after the other, every first call is answered', async () => {
  const controllers = ['deployment/lazyscope-controller', '-n', system];
  await mesh.kubectl(['rollout', 'restart', ...controllers]);
  const refused: string[] = [];
  // Nodes may notice later than the Deployment what has gone.
  let endsAt = Number.POSITIVE_INFINITY;
  const rolling = mesh.kubectl(['rollout', 'status', ...controllers]).finally(() => {
    endsAt = Date.now() + 10_000;
  });
  let index = 1;
  for (; Date.now() < endsAt && index < targets; index++) {
    const { status } = await call(mesh, client, `http://${target(index)}:${appPorts.http}/`);
    if (status !== 200) refused.push(`${target(index)}: ${status}`);
    await sleep(300);
  }
  await rolling;
  // Calls to the end, and not for want of targets.
  expect(index).toBeLessThan(targets);
  expect(refused).toEqual([]);
});
