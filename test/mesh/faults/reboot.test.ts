import { afterAll, beforeAll, test } from 'vitest';
import { createFleet, deleteNamespaces, learnTargets } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { expectAllAnswered, rateHere, startTraffic } from '../traffic.ts';
import { keptNode, targetsNamespace, targetUrl } from './targets.ts';
import { nodeVictims, requireVictims, untilReplaced, untilWell } from './victims.ts';

const mesh = openMesh();
const namespace = 'reboot';
/**
 * Two targets are known from the start, two are learned at the end, and these have their first call
 * during the reboot.
 */
const firstMost = 300;
let client: PodRef;
let lost: string;

beforeAll(async () => {
  // The previous file may have ended with an outage.
  await untilWell(mesh);
  const kept = await keptNode(mesh);
  lost = kept === 'node-1' ? 'node-2' : 'node-1';
  await createFleet(mesh, {
    namespace,
    clients: ['client', 'far'],
    targets: 0,
    server: false,
    strict: true,
    nodes: { client: kept, far: lost },
  });
  client = await mesh.pod(namespace, 'app=client');
  await learnTargets(mesh, client, 'client', [0, 1], targetsNamespace);
});

afterAll(() => deleteNamespaces(mesh, namespace));

test('the reboot of a node fails no call of pods on other nodes, and its own pods learn again', async () => {
  const known = [0, 1].map(targetUrl);
  const rps = await rateHere(mesh, client, known, { wanted: 200 });
  const ended = await nodeVictims(mesh, lost);
  requireVictims(lost, ended);
  const first = Array.from({ length: firstMost }, (_, i) => targetUrl(4 + i));
  const traffic = await startTraffic(mesh, client, { known, rps, first, firstRps: 1 });
  await ended.signal('KILL');
  await untilReplaced(mesh, lost, ended, 1);
  await untilWell(mesh);
  await mesh.rollout(namespace);
  const far = await mesh.pod(namespace, 'app=far');
  await learnTargets(mesh, far, 'far', [2], targetsNamespace);
  await learnTargets(mesh, client, 'client', [3], targetsNamespace);
  const { least, ...result } = await traffic.stop();
  expectAllAnswered(result.known, { least: least.known });
  expectAllAnswered(result.first, { least: least.first });
});
