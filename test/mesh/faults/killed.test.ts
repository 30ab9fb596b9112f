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
import {
  endDaemon,
  leaderOf,
  loadOnNode,
  podsOf,
  type Signal,
  signalDaemon,
  signalPod,
  untilWell,
} from './victims.ts';

const mesh = openMesh();
const namespace = 'killed';
const system = 'lazyscope-system';
let client: PodRef;
let home: string;
let fresh = 1;

const rps = 500;
const graceMs = 10_000;
const isControlPlane = (name: string) => /etcd|API server/.test(name);
/** A moment before, the fault, and all that comes of it; the API server takes seconds to be back. */
const secondsOf = (name: string) => (isControlPlane(name) ? 12 : 8);

beforeAll(async () => {
  await createFleet(mesh, { namespace, clients: ['client'], targets: 24, strict: true });
  client = await mesh.pod(namespace, 'app=client');
  home = (await mesh.get(['pod', client.name, '-n', namespace])).spec.nodeName;
  await learnTargets(mesh, client, 'client', [0, 1]);
});

afterAll(() => deleteNamespaces(mesh, namespace));

const named = (name: string) => podsOf(mesh, system, `app.kubernetes.io/name=${name}`);

/** What is ended, by whom it is known. */
const victims: Record<string, (signal: Signal) => Promise<void>> = {
  async 'the node companion of the caller'(signal) {
    const pods = await named('lazyscope-node');
    for (const pod of pods.filter(({ spec }) => spec.nodeName === home))
      await signalPod(mesh, pod, signal);
  },
  async 'the controller that leads'(signal) {
    const { holderIdentity } = await leaderOf(mesh);
    const pods = await named('lazyscope-controller');
    for (const pod of pods.filter(({ metadata }) => metadata.name === holderIdentity))
      await signalPod(mesh, pod, signal);
  },
  async 'both controllers'(signal) {
    const pods = await named('lazyscope-controller');
    await Promise.all(pods.map((pod) => signalPod(mesh, pod, signal)));
  },
  async 'one of two gateways'(signal) {
    const [pod] = await named('lazyscope-egress');
    if (pod) await signalPod(mesh, pod, signal);
  },
  async istiod(signal) {
    const [pod] = await podsOf(mesh, 'istio-system', 'app=istiod');
    if (pod) await signalPod(mesh, pod, signal);
  },
  async 'the API server'(signal) {
    const pids = await signalDaemon(mesh, 'kube-apiserver', signal);
    if (signal === 'KILL') return;
    // Open watches keep it for a minute in which it answers nobody, and after 50 s without a word nodes
    // count as lost with all their pods. What runs it does not wait for that long (a kubelet: 30 s).
    await sleep(graceMs);
    await endDaemon(mesh, pids);
  },
  async etcd(signal) {
    await signalDaemon(mesh, 'etcd', signal);
  },
};

test.each(
  Object.keys(victims).flatMap((name) => [[name, 'KILL'] as const, [name, 'TERM'] as const]),
)('without %s, ended by SIG%s, no request fails, and learning goes on', async (name, signal) => {
  await untilWell(mesh);
  const seconds = secondsOf(name);
  const running = loadOnNode(mesh, client, [0, 1].map(urlOf), { rps, seconds });
  running.catch(() => {});
  await sleep(1_000);
  await victims[name]?.(signal);
  const result = await running;
  expect(failuresOf(result)).toEqual({ failed: 0, failures: [] });
  expect(result.sent).toBeGreaterThan(0.95 * rps * seconds);
  // kube-proxy waits longer with each outage within two minutes, up to a minute (client-go,
  // tools/cache/reflector.go), and until it has looked again no pod reaches the API server.
  if (isControlPlane(name)) await signalDaemon(mesh, 'kube-proxy', 'KILL');
  await untilWell(mesh);
  fresh += 1;
  await learnTargets(mesh, client, 'client', [fresh]);
});
