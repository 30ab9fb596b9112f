import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import {
  createFleet,
  deleteNamespaces,
  entryOf,
  target,
  untilImported,
  urlOf,
} from '../../../box/fleet.ts';
import { startLoad } from '../../../box/load.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { setFirstCall } from '../../../box/product.ts';
import { expectAllAnswered, leastSince, rateHere } from '../traffic.ts';
import { growMesh } from './large-mesh.ts';

const mesh = openMesh();
const namespace = 'outages';
const system = 'lazyscope-system';
let client: PodRef;

const identity = `spiffe://cluster.local/ns/${namespace}/sa/client`;

/**
 * The client has learned the destinations 0 and 1. Destination 2 is excluded from the scope, but
 * the companion has a cached answer for it.
 */
beforeAll(async () => {
  await growMesh(mesh);
  await createFleet(mesh, { namespace, clients: ['client'], targets: 12, strict: true });
  client = await mesh.pod(namespace, 'app=client');
  await patch('workloadscope', 'client', { spec: { excludes: [entryOf(namespace, target(2))] } });
  for (const index of [0, 1, 2]) expect((await call(mesh, client, urlOf(index))).status).toBe(200);
  await untilImported(mesh, namespace, 'client', [0, 1]);
});

afterAll(async () => {
  await restore();
  await deleteNamespaces(mesh, namespace);
});

const patch = (kind: string, name: string, content: object) =>
  mesh.kubectl([
    'patch',
    kind,
    name,
    '-n',
    namespace,
    '--type=merge',
    '-p',
    JSON.stringify(content),
  ]);

/** A node selector that no node matches stops the DaemonSet. */
async function selectNodes(selector: Record<string, string> | null): Promise<void> {
  const content = { spec: { template: { spec: { nodeSelector: selector } } } };
  const args = ['daemonset', 'lazyscope-node', '-n', system, '--type=merge'];
  await mesh.kubectl(['patch', ...args, '-p', JSON.stringify(content)]);
}

const scale = (name: string, replicas: number) =>
  mesh.kubectl(['scale', 'deployment', name, '-n', system, `--replicas=${replicas}`]);

async function restore(): Promise<void> {
  await selectNodes(null);
  await scale('lazyscope-controller', 2);
  await scale('lazyscope-egress', 2);
  await mesh.rollout(system);
}

async function untilGone(name: string): Promise<void> {
  await mesh.waitFor(`the end of ${name}`, async () => {
    const args = ['pods', '-n', system, '-l', `app.kubernetes.io/name=${name}`];
    return (await mesh.get(args)).items.length === 0;
  });
}

test.each([
  ['the node companions', 'lazyscope-node', 3],
  ['the controllers', 'lazyscope-controller', 5],
  ['the gateway', 'lazyscope-egress', 7],
] as const)(
  'without %s calls to known destinations are unaffected, and first calls still succeed',
  async (_what, name, fresh) => {
    await setFirstCall(mesh, namespace, 'gateway');
    const known = [0, 1].map(urlOf);
    const rps = await rateHere(mesh, client, known, { wanted: 200 });
    const running = await startLoad(mesh, client, known, { rps });
    if (name === 'lazyscope-node') await selectNodes({ 'lazyscope.test/none': 'true' });
    else await scale(name, 0);
    await untilGone(name);
    const unknown = await call(mesh, client, urlOf(fresh));
    expect(unknown).toMatchObject({ status: 200, body: { peerIdentity: identity } });
    if (name !== 'lazyscope-egress')
      expect(await call(mesh, client, urlOf(2))).toMatchObject({ status: 200 });
    await restore();
    const after = await call(mesh, client, urlOf(fresh + 1));
    expect(after).toMatchObject({ status: 200, body: { peerIdentity: identity } });
    await untilImported(mesh, namespace, 'client', [fresh + 1]);
    const least = leastSince(running, rps);
    expectAllAnswered(await running.stop(), { least });
  },
);
