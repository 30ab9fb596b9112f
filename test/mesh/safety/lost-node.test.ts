import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  clusterNames,
  createFleet,
  deleteNamespaces,
  learnTargets,
  scopeStatus,
  untilNarrowed,
  urlOf,
} from '../../../box/fleet.ts';
import { startLoad } from '../../../box/load.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { run } from '../../../box/run.ts';
import { workload } from '../../../box/shop.ts';
import { keptNode } from '../faults/targets.ts';
import { restartKubeProxy, untilWell } from '../faults/victims.ts';
import { expectAllAnswered, leastSince, rateHere } from '../traffic.ts';
import { silenceSeconds } from './rig.ts';

const mesh = openMesh();
const namespace = 'lost-node';
const known = [0, 1];
const elsewhere = Array.from({ length: 20 }, (_, n) => `elsewhere-${n}`);
/** Bounds a hang: a small machine takes long to start twenty sidecars. */
const startSeconds = 600;
/** The controllers judge silence in every pass, each ten seconds. */
const passSeconds = 10;
let lost: string;
let client: PodRef;

/** The node that is lost runs neither the server nor the DNS server. */
beforeAll(async () => {
  await untilWell(mesh);
  const kept = await keptNode(mesh);
  lost = kept === 'node-1' ? 'node-2' : 'node-1';
  await createFleet(mesh, {
    ...{ namespace, clients: ['client'], targets: known.length, onlyHttp: true },
    nodes: { client: kept, server: kept },
  });
  await mesh.apply(elsewhere.flatMap((name) => workload(namespace, name, { node: lost })));
  await mesh.rollout(namespace, startSeconds);
  await untilNarrowed(mesh, namespace, elsewhere);
  client = await mesh.pod(namespace, 'app=client');
  await learnTargets(mesh, client, 'client', known);
});

afterAll(async () => {
  await setLink('up');
  await deleteNamespaces(mesh, namespace);
  await mesh.waitFor(`${lost} to be back`, isReady);
  await restartKubeProxy(mesh);
  await untilWell(mesh);
});

/** The cable of the node: without it, nothing reaches the node or comes from it. */
async function setLink(state: 'up' | 'down'): Promise<void> {
  const [command = '', ...args] = mesh.inNetwork(['ip', 'link', 'set', lost, state]);
  await run(command, args);
}

type Conditions = { type: string; status: string; reason: string }[];

async function isReady(): Promise<boolean> {
  const conditions: Conditions = (await mesh.get(['node', lost])).status.conditions;
  return conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
}

const statuses = () => Promise.all(elsewhere.map((name) => scopeStatus(mesh, namespace, name)));

/** A Sidecar that was withdrawn and came back has another uid. */
async function sidecars(): Promise<string[]> {
  type List = { items: { metadata: { uid: string } }[] };
  const { items }: List = await mesh.get(['sidecars', '-n', namespace]);
  return items.map(({ metadata }) => metadata.uid).sort();
}

const allocated = async () =>
  Number((JSON.parse(await mesh.admin(client, '/memory')) as { allocated: string }).allocated);

test('a node that is gone for good with 20 workloads withdraws no scope, costs no memory, and fails no call of others', async () => {
  const urls = known.map(urlOf);
  const rps = await rateHere(mesh, client, urls, { wanted: 200 });
  const running = await startLoad(mesh, client, urls, { rps, more: ['--connections', '4'] });
  const before = {
    sidecars: await sidecars(),
    clusters: (await clusterNames(mesh, client)).sort(),
    bytes: await allocated(),
  };
  expect(before.sidecars.length).toBeGreaterThanOrEqual(elsewhere.length + 2);
  await setLink('down');
  const since = Date.now();
  await mesh.waitFor(`${lost} to be lost`, async () => !(await isReady()));
  await mesh.waitFor('every scope of the node to count no proxies', async () =>
    (await statuses()).every(({ proxies }) => proxies?.total === 0),
  );
  await mesh.waitFor('the passes in which silence is judged', async () => {
    return Date.now() - since > (silenceSeconds + 2 * passSeconds) * 1000;
  });
  expect(await sidecars()).toEqual(before.sidecars);
  const reasons = (await statuses()).flatMap(({ conditions = [] }) =>
    conditions.filter(({ type }) => type === 'Scoped').map(({ reason }) => reason),
  );
  expect(reasons).toEqual(elsewhere.map(() => 'Enforced'));
  expect((await clusterNames(mesh, client)).sort()).toEqual(before.clusters);
  expect(await allocated()).toBeLessThan(1.1 * before.bytes);
  const least = leastSince(running, rps);
  expectAllAnswered(await running.stop(), { least });
});
