import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import {
  clusterNames,
  createFleet,
  deleteNamespaces,
  hostOf,
  onlyClient,
  sentTo,
  target,
} from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { setFirstCall } from '../../../box/product.ts';
import { appPorts } from '../../../box/shop.ts';

const mesh = openMesh();
const namespace = 'tcp';
let client: PodRef;

/** A change of strategy takes a moment, and each call until then needs a target of its own. */
const targets = 60;
let taken = 0;

beforeAll(async () => {
  await createFleet(mesh, { namespace, clients: ['client'], targets, strict: true });
  client = await mesh.pod(namespace, 'app=client');
});

afterAll(() => deleteNamespaces(mesh, namespace));

test.each([
  ['gateway', 'server-first', appPorts.tcpServerFirst, []],
  ['gateway', 'client-first', appPorts.tcpEcho, ['--send', 'hello']],
  ['direct', 'server-first', appPorts.tcpServerFirst, []],
  ['direct', 'client-first', appPorts.tcpEcho, ['--send', 'hello']],
] as const)(
  'by %s a %s TCP connection to an unlearned service works under STRICT, and later connections use the service’s listener',
  async (strategy, _kind, port, flags) => {
    await setFirstCall(mesh, namespace, strategy);
    const used = strategy === 'gateway' ? 'lazyscope-egress' : 'lazyscope-direct';
    const before = await sentTo(mesh, client, used);
    await mesh.waitFor('the strategy to be in force', async () => {
      const result = await call(mesh, client, `tcp://${target(taken++)}:${port}`, ...flags);
      expect(result.error ?? '').toBe('');
      expect(JSON.stringify(result.body)).toContain('server');
      return (await sentTo(mesh, client, used)).connections > before.connections;
    });
    const host = target(taken - 1);
    const cluster = `outbound|${port}||${hostOf(namespace, host)}`;
    await mesh.waitFor('the real cluster', async () =>
      (await clusterNames(mesh, client)).includes(cluster),
    );
    await mesh.waitFor('a connection by the real listener', async () => {
      await call(mesh, client, `tcp://${host}:${port}`, ...flags);
      return (await sentTo(mesh, client, cluster)).connections > 0;
    });
  },
);

test('an AuthorizationPolicy on TCP admits the identity of the caller on a first connection', async () => {
  await setFirstCall(mesh, namespace, 'gateway');
  await mesh.apply([onlyClient(namespace)]);
  const result = await call(mesh, client, `tcp://${target(taken++)}:${appPorts.tcpServerFirst}`);
  expect(result.error ?? '').toBe('');
  expect(JSON.stringify(result.body)).toContain('server');
});

test('a port of istiod, which has no listener until it is learned, answers the first call and later ones', async () => {
  const host = 'istiod.istio-system.svc.cluster.local';
  const cluster = `outbound|15014||${host}`;
  expect(await clusterNames(mesh, client)).not.toContain(cluster);
  const version = async () => (await call(mesh, client, `http://${host}:15014/version`)).status;
  expect(await version()).toBe(200);
  await mesh.waitFor('the real cluster', async () =>
    (await clusterNames(mesh, client)).includes(cluster),
  );
  await mesh.waitFor('a request by the real listener', async () => {
    expect(await version()).toBe(200);
    return (await sentTo(mesh, client, cluster)).connections > 0;
  });
});
