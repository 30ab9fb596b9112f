import { afterAll, beforeAll, expect, test } from 'vitest';
import { createFleet, deleteNamespaces, urlOf } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { countSecondTries, learnAnother, watchLateAnswers } from '../second-tries.ts';
import { expectAllAnswered, rateHere, startTraffic } from '../traffic.ts';
import { podsOf, untilWell } from './victims.ts';

const mesh = openMesh();
const namespace = 'rollout';
const system = 'lazyscope-system';
const targets = 900;
const firstMost = 290;
let client: PodRef;
let rps: number;
/** The index of the known target, and the number of targets called so far. */
let known = 0;
let fresh = 0;

beforeAll(async () => {
  await untilWell(mesh);
  await createFleet(mesh, {
    ...{ namespace, clients: ['client'], targets, strict: true, onlyHttp: true },
    fallback: 'passthrough',
  });
  client = await mesh.pod(namespace, 'app=client');
  await learnAnother(mesh, client, 'client', () => {
    known = fresh++;
    return known;
  });
  rps = await rateHere(mesh, client, [urlOf(known)], { wanted: 100 });
});

afterAll(() => deleteNamespaces(mesh, namespace));

const namesOf = async (app: string) =>
  (await podsOf(mesh, system, `app.kubernetes.io/name=${app}`)).map(
    ({ metadata }) => metadata.name,
  );

/**
 * First calls have no fallback here: under STRICT mTLS a first call succeeds only with an answer.
 */
test.each([
  ['both controllers', 'deployment', 'lazyscope-controller'],
  ['all node companions', 'daemonset', 'lazyscope-node'],
  ['both gateways', 'deployment', 'lazyscope-egress'],
])('first calls succeed during a rollout of %s', async (_who, kind, app) => {
  const before = await namesOf(app);
  const lateAnswers = await watchLateAnswers(mesh, [client]);
  const first = Array.from({ length: firstMost }, (_, i) => urlOf(fresh + i));
  fresh += firstMost;
  const traffic = await startTraffic(mesh, client, {
    ...{ known: [urlOf(known)], rps, first, firstRps: 2 },
  });
  await mesh.kubectl(['rollout', 'restart', `${kind}/${app}`, '-n', system]);
  await mesh.kubectl(['rollout', 'status', `${kind}/${app}`, '-n', system]);
  // Nodes and proxies may notice the end of a pod later than Kubernetes.
  await mesh.waitFor('the end of every earlier pod', async () => {
    const { items } = await mesh.get(['pods', '-n', system]);
    const names = items.map((pod: { metadata: { name: string } }) => pod.metadata.name);
    return before.every((name) => !names.includes(name));
  });
  await learnAnother(mesh, client, 'client', () => fresh++);
  const { known: knownCalls, first: firstCalls, least } = await traffic.stop();
  expect(before.length).toBeGreaterThan(0);
  expectAllAnswered(knownCalls, { least: least.known });
  const { failed, failures } = firstCalls;
  // The later first calls, each at another target, count as the second tries of failed ones.
  const late = await lateAnswers();
  countSecondTries(
    failures.map(({ url, key }) => `${url} (${key})`),
    { late, most: Math.ceil(firstCalls.sent / 50) },
  );
  expectAllAnswered(
    { ...firstCalls, failed: failed - failures.length, failures: [] },
    {
      least: least.first,
    },
  );
});
