import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import {
  createFleet,
  deleteNamespaces,
  entryOf,
  hostOf,
  importedHosts,
  onlyClient,
  sentTo,
  setFallback,
  succeeded,
  target,
} from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { setFirstCall } from '../../../box/product.ts';
import { untilServed } from '../../../box/served.ts';
import { appPorts } from '../../../box/shop.ts';
import { growMesh } from './large-mesh.ts';

const mesh = openMesh();
const namespace = 'first-call';
const port = appPorts.http;
let client: PodRef;
let other: PodRef;

const identity = `spiffe://cluster.local/ns/${namespace}/sa/client`;

beforeAll(async () => {
  await growMesh(mesh);
  await createFleet(mesh, { namespace, clients: ['client', 'other'], targets, strict: true });
  client = await mesh.pod(namespace, 'app=client');
  other = await mesh.pod(namespace, 'app=other');
});

afterAll(() => deleteNamespaces(mesh, namespace));

/** Destinations that nobody has called. Each test takes the next ones. */
const targets = 70;
let taken = 0;
const fresh = () => target(taken++);

const isLearned = (host: string) =>
  mesh.waitFor(`${host} in the scope`, async () =>
    (await importedHosts(mesh, namespace, 'client')).includes(entryOf(namespace, host)),
  );

test.each([
  ['gateway', 'lazyscope-egress'],
  ['direct', 'lazyscope-direct'],
  ['hold', 'lazyscope-hold'],
] as const)(
  'a first call by %s succeeds under STRICT mTLS with the identity of the caller',
  async (strategy, cluster) => {
    await setFirstCall(mesh, namespace, strategy);
    const host = fresh();
    const before = await sentTo(mesh, client, cluster);
    const first = await mesh.waitFor('the strategy to be in force', async () => {
      const result = await call(mesh, client, `http://${fresh()}:${port}/`);
      const now = await sentTo(mesh, client, cluster);
      return now.requests > before.requests && result;
    });
    expect(succeeded(first, identity)).toEqual({ status: 200, error: '', sees: true });
    const again = await call(mesh, client, `http://${host}:${port}/`);
    expect(succeeded(again, identity)).toEqual({ status: 200, error: '', sees: true });
    await isLearned(host);
  },
);

test('the second call is ordinary: the real cluster, no gateway, no marker', async () => {
  await setFirstCall(mesh, namespace, 'gateway');
  const host = fresh();
  await call(mesh, client, `http://${host}:${port}/`);
  await isLearned(host);
  const cluster = `outbound|${port}||${hostOf(namespace, host)}`;
  await mesh.waitFor('the real cluster to be used', async () => {
    await call(mesh, client, `http://${host}:${port}/`);
    return (await sentTo(mesh, client, cluster)).requests > 0;
  });
  const gateway = await sentTo(mesh, client, 'lazyscope-egress');
  const real = await sentTo(mesh, client, cluster);
  const result = await call(mesh, client, `http://${host}:${port}/`);
  expect(await sentTo(mesh, client, 'lazyscope-egress')).toEqual(gateway);
  expect((await sentTo(mesh, client, cluster)).requests).toBe(real.requests + 1);
  expect(Object.keys(result.body.headers).filter((name) => /lazyscope/i.test(name))).toEqual([]);
});

test('on a first call an AuthorizationPolicy admits only the caller that it names', async () => {
  await mesh.apply([onlyClient(namespace)]);
  try {
    await mesh.waitFor('the policy', async () => {
      const result = await call(mesh, other, `http://server:${port}/`);
      return result.status === 403;
    });
    for (const strategy of ['gateway', 'direct', 'hold'] as const) {
      await setFirstCall(mesh, namespace, strategy);
      const host = fresh();
      expect((await call(mesh, client, `http://${host}:${port}/`)).status).toBe(200);
      expect((await call(mesh, other, `http://${host}:${port}/`)).status).toBe(403);
    }
  } finally {
    await mesh.kubectl(['delete', 'authorizationpolicy', 'only-client', '-n', namespace]);
  }
});

/**
 * A Service with one endpoint that names the pod `claimed` and has the address of the pod `actual`.
 */
async function claimedService(name: string, actual: string, claimed: string): Promise<object[]> {
  const { status } = await mesh.get(['pod', actual, '-n', namespace]);
  const ports = [{ name: 'http', port }];
  const metadata = { name, namespace };
  return [
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports } },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports,
      endpoints: [
        {
          addresses: [status.podIP],
          conditions: { ready: true },
          targetRef: { kind: 'Pod', namespace, name: claimed },
        },
      ],
    },
  ];
}

test.each(['gateway', 'direct'] as const)(
  'a server with another identity than that of the Service is refused on a first call by %s',
  async (strategy) => {
    await setFirstCall(mesh, namespace, strategy);
    const server = await mesh.pod(namespace, 'app=server');
    // Both Services lead to the pod `other`. The impostor names the pod `server`.
    await mesh.apply([
      ...(await claimedService(`honest-${strategy}`, other.name, other.name)),
      ...(await claimedService(`impostor-${strategy}`, other.name, server.name)),
    ]);
    // The gateway learns of a new Service a moment after clients can resolve its name.
    await mesh.waitFor('the honest Service', async () => {
      const honest = await call(mesh, client, `http://honest-${strategy}:${port}/`);
      return honest.status === 200 && honest.body.name === 'other';
    });
    await untilServed(mesh, namespace, `impostor-${strategy}`);
    // Without an answer the filter would not know the identity, and would accept every identity of
    // the trust domain.
    await setFallback(mesh, namespace, ['client'], 'passthrough');
    const impostor = await call(mesh, client, `http://impostor-${strategy}:${port}/`);
    expect(impostor.status).toBe(503);
    await setFallback(mesh, namespace, ['client'], 'direct');
  },
);

test('a VirtualService applies to the first call: header match, rewrite and split', async () => {
  await setFirstCall(mesh, namespace, 'gateway');
  const host = fresh();
  const special = fresh();
  const probes = Array.from({ length: 10 }, fresh);
  const heldCalls = async () => (await sentTo(mesh, client, 'lazyscope-hold')).requests;
  const route = (name: string, weight?: number) => ({
    destination: { host: name },
    ...(weight === undefined ? {} : { weight }),
  });
  const seen = (name: string, value: string) => ({ request: { set: { [name]: value } } });
  const virtualService = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'rules', namespace },
    spec: {
      hosts: [host],
      http: [
        {
          match: [{ uri: { prefix: '/original' }, headers: { 'x-special': { exact: 'yes' } } }],
          rewrite: { uri: '/rewritten' },
          headers: seen('x-route', 'special'),
          route: [route(special)],
        },
        {
          headers: seen('x-route', 'split'),
          route: [
            { ...route(host, 90), headers: seen('x-leg', 'ninety') },
            { ...route(special, 10), headers: seen('x-leg', 'ten') },
          ],
        },
      ],
    },
  };
  // The scope of a host has the destinations of its rules, so the probes have rules of their own.
  const ofProbes = {
    ...{ ...virtualService, metadata: { name: 'rules-of-probes', namespace } },
    spec: {
      hosts: [...probes],
      http: [{ headers: seen('x-route', 'probe'), route: [route(fresh())] }],
    },
  };
  await mesh.apply([virtualService, ofProbes]);
  // The node of the client learns of the rules a moment after the API server, and in this order.
  await mesh.waitFor('a first call that is held for its rules', async () => {
    const before = await heldCalls();
    await call(mesh, client, `http://${probes.shift()}:${port}/`);
    return (await heldCalls()) > before;
  });
  const held = await heldCalls();
  const url = `http://${host}:${port}/original`;
  const data = 'a body that is sent again';
  const first = await call(mesh, client, url, '--header', 'x-special: yes', '--data', data);
  expect(first).toMatchObject({
    status: 200,
    body: { path: '/rewritten', bodyBytes: data.length },
  });
  expect(first.body.headers['X-Route']).toContain('special');
  expect(await heldCalls()).toBeGreaterThan(held);
  const routes = new Map<string, number>();
  for (let i = 0; i < 40; i++) {
    const { body } = await call(mesh, client, url);
    for (const name of body.headers['X-Leg'] ?? []) routes.set(name, (routes.get(name) ?? 0) + 1);
  }
  expect(routes.get('ninety') ?? 0).toBeGreaterThan(25);
});

test('headers of the app that look like Lazyscope’s steer nothing and arrive nowhere', async () => {
  const forged = ['x-lazyscope-cluster: PassthroughCluster', 'x-lazyscope-strategy: passthrough'];
  const flags = forged.flatMap((header) => ['--header', header]);
  for (const host of ['server', fresh()]) {
    const result = await call(mesh, client, `http://${host}:${port}/`, ...flags);
    expect(succeeded(result, identity)).toEqual({ status: 200, error: '', sees: true });
    expect(Object.keys(result.body.headers).filter((name) => /lazyscope/i.test(name))).toEqual([]);
  }
});

test('passthrough sends the call as Istio does: to its address, where STRICT refuses it', async () => {
  await setFirstCall(mesh, namespace, 'passthrough');
  const passed = async () => (await sentTo(mesh, client, 'PassthroughCluster')).requests;
  const before = await passed();
  const result = await mesh.waitFor('the strategy to be in force', async () => {
    const first = await call(mesh, client, `http://${fresh()}:${port}/`);
    return (await passed()) > before && first;
  });
  expect(result).toMatchObject({ status: 503 });
  expect(taken).toBeLessThanOrEqual(targets);
});
