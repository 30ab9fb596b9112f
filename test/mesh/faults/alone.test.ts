import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  createFleet,
  deleteNamespaces,
  onlyClient,
  target,
  untilImported,
} from '../../../box/fleet.ts';
import { startLoad } from '../../../box/load.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { setFirstCall } from '../../../box/product.ts';
import { metricsOf, sumOf } from '../companion-metrics.ts';
import { expectAllAnswered } from '../traffic.ts';
import { targets, targetsNamespace, targetUrl } from './targets.ts';
import { daemonVictims, podsOf, signalProcesses, untilWell } from './victims.ts';

const mesh = openMesh();
const namespace = 'alone';
const system = 'lazyscope-system';
let client: PodRef;
let home: string;

/** A first call without an answer goes in plain text, which the servers refuse. */
beforeAll(async () => {
  await createFleet(mesh, {
    ...{ namespace, clients: ['client'], targets: 0, server: false },
    fallback: 'passthrough',
  });
  await mesh.apply([onlyClient(targetsNamespace, namespace)]);
  client = await mesh.pod(namespace, 'app=client');
  home = (await mesh.get(['pod', client.name, '-n', namespace])).spec.nodeName;
});

afterAll(async () => {
  await mesh.kubectl(['delete', 'authorizationpolicy', 'only-client', '-n', targetsNamespace]);
  await deleteNamespaces(mesh, namespace);
});

/** A metric of the node companion on the client's node, summed over its labels. */
async function figure(name: string, labels = ''): Promise<number> {
  const pods = await podsOf(mesh, system, 'app.kubernetes.io/name=lazyscope-node');
  const here = pods.find(({ spec }) => spec.nodeName === home);
  if (!here) throw new Error(`no node companion on ${home}`);
  return sumOf(await metricsOf(mesh, here), `lazyscope_${name}`, labels);
}

async function scale(of: string, name: string, replicas: number): Promise<void> {
  await mesh.kubectl(['scale', 'deployment', name, '-n', of, `--replicas=${replicas}`]);
  const label = name === 'istiod' ? 'app=istiod' : `app.kubernetes.io/name=${name}`;
  if (replicas > 0) return;
  await mesh.waitFor(
    `the end of ${name}`,
    async () => (await podsOf(mesh, of, label)).length === 0,
  );
}

test.each([
  ['direct', 0],
  ['gateway', 150],
] as const)(
  'with the controllers, istiod and the API server away, first calls by %s reach every known host under STRICT, and are learned later',
  async (firstCall, from) => {
    await untilWell(mesh);
    await setFirstCall(mesh, namespace, firstCall);
    await mesh.waitFor(
      'the catalog on the node of the client',
      async () => (await figure('node_catalog_hosts')) >= targets,
    );
    const controllers = (await mesh.get(['deployment', 'lazyscope-controller', '-n', system])).spec;
    const corrected = await figure('node_answers_corrected_total');
    const urls = Array.from({ length: 150 }, (_, index) => targetUrl(from + index));
    const load = await startLoad(mesh, client, urls, {
      rps: 2,
      more: ['--connections', '1', '--each-once'],
    });
    await scale(system, 'lazyscope-controller', 0);
    await scale('istio-system', 'istiod', 0);
    const { ids } = await daemonVictims(mesh, 'kube-apiserver');
    expect(ids.length).toBeGreaterThan(0);
    await signalProcesses(mesh, ids, 'STOP');
    await sleep(15_000).finally(() => signalProcesses(mesh, ids, 'CONT'));
    const result = await load.stop();
    await scale('istio-system', 'istiod', 1);
    await scale(system, 'lazyscope-controller', controllers.replicas);
    expectAllAnswered(result, { least: 25 });
    const called = Array.from({ length: result.sent }, (_, index) => from + index);
    await untilWell(mesh);
    await untilImported(mesh, namespace, 'client', called, targetsNamespace);
    expect(await figure('node_questions_total', 'source="catalog"')).toBeGreaterThan(15);
    // A change of the strategy or of the gateway is known to a node a moment later.
    expect((await figure('node_answers_corrected_total')) - corrected).toBeLessThanOrEqual(2);
    expect(called.length, `${target(called.length)} is there`).toBeLessThan(150);
  },
);
