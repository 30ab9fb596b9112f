import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import {
  createFleet,
  deleteNamespaces,
  entryOf,
  hostOf,
  sentTo,
  succeeded,
  target,
  untilImported,
} from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { appPorts } from '../../../box/shop.ts';
import { type CompanionPod, metricsOf, sumOf } from '../companion-metrics.ts';

// A host that the scope imports and that still has no route: an EnvoyFilter takes its virtual host
// away, as nothing that the model knows would.

const mesh = openMesh();
const namespace = 'held-in-vain';
const host = target(0);
const port = appPorts.http;
const identity = `spiffe://cluster.local/ns/${namespace}/sa/client`;
const withoutRoute = {
  apiVersion: 'networking.istio.io/v1alpha3',
  kind: 'EnvoyFilter',
  metadata: { name: 'without-route', namespace },
  spec: {
    configPatches: [
      {
        applyTo: 'VIRTUAL_HOST',
        match: {
          context: 'SIDECAR_OUTBOUND',
          routeConfiguration: { vhost: { name: `${hostOf(namespace, host)}:${port}` } },
        },
        patch: { operation: 'REMOVE' },
      },
    ],
  },
};
let client: PodRef;

beforeAll(async () => {
  const clients = ['client'];
  await createFleet(mesh, { namespace, clients, targets: 1, strict: true, firstCall: 'hold' });
  await mesh.apply([withoutRoute]);
  client = await mesh.pod(namespace, 'app=client');
});

afterAll(() => deleteNamespaces(mesh, namespace));

const answered = { status: 200, error: '', sees: true };

/** One call, and how often the proxy sent it to be held. */
async function callOnce() {
  const before = await sentTo(mesh, client, 'lazyscope-hold');
  const result = await call(mesh, client, `http://${host}:${port}/`);
  const after = await sentTo(mesh, client, 'lazyscope-hold');
  return { result: succeeded(result, identity), rounds: after.requests - before.requests };
}

async function heldInVain(): Promise<number> {
  const selector = ['-l', 'app.kubernetes.io/name=lazyscope-controller'];
  const { items } = await mesh.get(['pods', '-n', 'lazyscope-system', ...selector]);
  const texts = await Promise.all(items.map((pod: CompanionPod) => metricsOf(mesh, pod)));
  return sumOf(texts.join('\n'), 'lazyscope_controller_held_in_vain_total');
}

test('a request to an imported host without a route is held in rounds, and then served another way', async () => {
  const held = await mesh.waitFor('a call to be held', async () => {
    const once = await callOnce();
    expect(once.result).toEqual(answered);
    return once.rounds > 0 && once;
  });
  expect(held.rounds).toBeGreaterThan(1);
  await untilImported(mesh, namespace, 'client', [0]);
});

test('after five seconds such requests are held no more, which is counted and told once', async () => {
  await mesh.waitFor('a call that is not held', async () => {
    const once = await callOnce();
    expect(once.result).toEqual(answered);
    return once.rounds === 0;
  });
  expect(await heldInVain()).toBeGreaterThan(0);
  const events = await mesh.waitFor('the Event', async () => {
    const { items } = await mesh.get(['events', '-n', namespace]);
    const found = items.filter(({ reason }: { reason: string }) => reason === 'RouteMissing');
    return found.length > 0 && found;
  });
  expect(events).toMatchObject([
    {
      type: 'Warning',
      involvedObject: { kind: 'WorkloadScope', name: 'client' },
      message: expect.stringContaining(entryOf(namespace, host)),
    },
  ]);
});

test('when the route comes, calls take it', async () => {
  await mesh.kubectl(['delete', 'envoyfilter', withoutRoute.metadata.name, '-n', namespace]);
  const cluster = `outbound|${port}||${hostOf(namespace, host)}`;
  await mesh.waitFor('the real cluster to be used', async () => {
    expect((await callOnce()).result).toEqual(answered);
    return (await sentTo(mesh, client, cluster)).requests > 0;
  });
});
