import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createFleet, deleteNamespaces, learnTargets, target } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { expectAllAnswered, rateHere, startTraffic } from '../traffic.ts';
import { targets, targetsNamespace, targetUrl } from './targets.ts';
import {
  daemonVictims,
  leaderOf,
  podsOf,
  podVictims,
  requireVictims,
  restartKubeProxy,
  type Signal,
  signalProcesses,
  untilReplaced,
  untilWell,
  type Victims,
} from './victims.ts';

const mesh = openMesh();
const namespace = 'killed';
const system = 'lazyscope-system';
let client: PodRef;
let home: string;
let rps: number;

const known = [0, 1];
/**
 * One first call each second, from before each fault until after the recovery, which takes between
 * 20 s and 5 minutes.
 */
const firstRps = 1;
const firstMost = 300;
let taken = known.length;

beforeAll(async () => {
  const fleet = { namespace, clients: ['client'], targets: 0, server: false, strict: true };
  await createFleet(mesh, fleet);
  client = await mesh.pod(namespace, 'app=client');
  home = (await mesh.get(['pod', client.name, '-n', namespace])).spec.nodeName;
  await learnTargets(mesh, client, 'client', known, targetsNamespace);
  rps = await rateHere(mesh, client, known.map(targetUrl), { wanted: 200 });
});

afterAll(() => deleteNamespaces(mesh, namespace));

const named = (name: string) => podsOf(mesh, system, `app.kubernetes.io/name=${name}`);

/** The pods of a kind that a test ends, and how to list all pods of that kind. */
async function pods(
  all: () => ReturnType<typeof podsOf>,
  which: (pod: Awaited<ReturnType<typeof podsOf>>[number], index: number) => boolean = () => true,
): Promise<Victims> {
  return podVictims(mesh, (await all()).filter(which), all);
}

/** The pods and processes that the tests end, by the name in the test's title. */
const victims: Record<string, () => Promise<Victims>> = {
  'the node companion of the caller': () =>
    pods(async () => (await named('lazyscope-node')).filter(({ spec }) => spec.nodeName === home)),
  async 'the controller that leads'() {
    const { holderIdentity } = await leaderOf(mesh);
    return pods(
      () => named('lazyscope-controller'),
      ({ metadata }) => metadata.name === holderIdentity,
    );
  },
  'both controllers': () => pods(() => named('lazyscope-controller')),
  'one of two gateways': () =>
    pods(
      () => named('lazyscope-egress'),
      (_, index) => index === 0,
    ),
  istiod: () => pods(() => podsOf(mesh, 'istio-system', 'app=istiod')),
  'the API server': () => daemonVictims(mesh, 'kube-apiserver'),
  etcd: () => daemonVictims(mesh, 'etcd'),
};

const isControlPlane = (name: string) => name === 'etcd' || name === 'the API server';

/**
 * An API server that receives SIGTERM waits up to a minute for open watches and answers no request
 * meanwhile. A supervisor does not wait that long (a kubelet waits 30 s).
 */
const graceMs = 10_000;

async function end(name: string, ended: Victims, signal: Signal): Promise<void> {
  await ended.signal(signal);
  if (name !== 'the API server' || signal === 'KILL') return;
  await sleep(graceMs);
  await signalProcesses(mesh, ended.ids, 'KILL');
}

test.each(
  Object.keys(victims).flatMap((name) => [[name, 'KILL'] as const, [name, 'TERM'] as const]),
)(
  'after the end of %s by SIG%s no known or first call fails, and learning continues',
  async (name, signal) => {
    await untilWell(mesh);
    const ended = await victims[name]?.();
    if (!ended) throw new Error(`no such victim: ${name}`);
    requireVictims(name, ended);
    const count = (await ended.now()).length;
    const first = Array.from({ length: Math.min(firstMost, targets - 1 - taken) }, (_, i) =>
      targetUrl(taken + i),
    );
    const traffic = await startTraffic(mesh, client, {
      ...{ known: known.map(targetUrl), rps, first, firstRps },
    });
    await end(name, ended, signal);
    await untilReplaced(mesh, name, ended, count);
    // After repeated outages kube-proxy waits up to a minute before it lists again (client-go,
    // tools/cache/reflector.go). Until then no pod reaches the API server.
    if (isControlPlane(name)) await restartKubeProxy(mesh);
    await untilWell(mesh);
    const { least, ...result } = await traffic.stop();
    taken += result.first.sent;
    expectAllAnswered(result.known, { least: least.known });
    expectAllAnswered(result.first, { least: least.first });
    await learnTargets(mesh, client, 'client', [taken++], targetsNamespace);
    expect(taken, `${target(taken)} is there`).toBeLessThan(targets);
  },
);
