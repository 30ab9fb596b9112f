import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { createFleet, deleteNamespaces, learnTargets, urlOf } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { untilWell } from './victims.ts';

const mesh = openMesh();
const namespace = 'rollout';
const system = 'lazyscope-system';
const targets = 300;
let client: PodRef;

beforeAll(async () => {
  await untilWell(mesh);
  await createFleet(mesh, { namespace, clients: ['client'], targets, strict: true });
  client = await mesh.pod(namespace, 'app=client');
  await learnTargets(mesh, client, 'client', [0]);
});

afterAll(() => deleteNamespaces(mesh, namespace));

let fresh = 0;

const isAnswered = async (url: string) => (await call(mesh, client, url)).status === 200;

/**
 * Under STRICT mTLS nothing but an answer, and a way for the call, makes a first call succeed. Processes that
 * start on a small machine may cost one its 200 ms, but a gap between replicas is longer than this pause.
 */
async function isAnsweredSoon(url: string): Promise<boolean> {
  if (await isAnswered(url)) return true;
  await sleep(1_200);
  return isAnswered(url);
}

test.each([
  ['both controllers', 'deployment/lazyscope-controller'],
  ['all node companions', 'daemonset/lazyscope-node'],
  ['both gateways', 'deployment/lazyscope-egress'],
])('while %s are replaced, one after the other, first calls go on', async (_who, name) => {
  await mesh.kubectl(['rollout', 'restart', name, '-n', system]);
  const refused: string[] = [];
  // Nodes and proxies may notice later than Kubernetes what has gone.
  let endsAt = Number.POSITIVE_INFINITY;
  const rolling = mesh.kubectl(['rollout', 'status', name, '-n', system]).finally(() => {
    endsAt = Date.now() + 10_000;
  });
  while (Date.now() < endsAt && fresh < targets) {
    fresh += 1;
    const url = urlOf(fresh);
    if (!(await isAnsweredSoon(url))) refused.push(url);
    await sleep(300);
  }
  await rolling;
  // Calls to the end, and not for want of targets.
  expect(fresh).toBeLessThan(targets);
  expect(refused).toEqual([]);
});
