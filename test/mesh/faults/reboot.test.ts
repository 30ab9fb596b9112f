import { afterAll, beforeAll, test } from 'vitest';
import { createFleet, deleteNamespaces, learnTargets, urlOf } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { expectAllAnswered, rateHere, startTraffic } from '../traffic.ts';
import { nodeVictims, podsOf, requireVictims, untilReplaced, untilWell } from './victims.ts';

const mesh = openMesh();
const namespace = 'reboot';
/**
 * Two targets are known from the start, two are learned at the end, and the others have their first
 * call during the reboot.
 */
const targets = 304;
let client: PodRef;
let lost: string;

/** The node that goes down runs neither the server nor the DNS server. */
beforeAll(async () => {
  // The previous file may have ended with an outage.
  await untilWell(mesh);
  const [dns] = await podsOf(mesh, 'kube-system', 'k8s-app=kube-dns');
  const kept = dns?.spec.nodeName ?? 'node-1';
  lost = kept === 'node-1' ? 'node-2' : 'node-1';
  await createFleet(mesh, {
    namespace,
    clients: ['client', 'far'],
    targets,
    strict: true,
    onlyHttp: true,
    nodes: { client: kept, server: kept, far: lost },
  });
  client = await mesh.pod(namespace, 'app=client');
  await learnTargets(mesh, client, 'client', [0, 1]);
});

afterAll(() => deleteNamespaces(mesh, namespace));

test('the reboot of a node fails no call of pods on other nodes, and its own pods learn again', async () => {
  const known = [0, 1].map(urlOf);
  const rps = await rateHere(mesh, client, known, { wanted: 500 });
  const ended = await nodeVictims(mesh, lost);
  requireVictims(lost, ended);
  const first = Array.from({ length: targets - 4 }, (_, i) => urlOf(4 + i));
  const traffic = await startTraffic(mesh, client, { known, rps, first, firstRps: 1 });
  await ended.signal('KILL');
  await untilReplaced(mesh, lost, ended, 1);
  await untilWell(mesh);
  await mesh.rollout(namespace);
  const far = await mesh.pod(namespace, 'app=far');
  await learnTargets(mesh, far, 'far', [2]);
  await learnTargets(mesh, client, 'client', [3]);
  const { least, ...result } = await traffic.stop();
  expectAllAnswered(result.known, { least: least.known });
  expectAllAnswered(result.first, { least: least.first });
});
