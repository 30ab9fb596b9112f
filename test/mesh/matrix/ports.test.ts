import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { createFleet, deleteNamespaces } from '../../../box/fleet.ts';
import { startLoad } from '../../../box/load.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { appPorts, namespaceObject, workload } from '../../../box/shop.ts';
import { expectAllAnswered, leastSince, rateHere } from '../traffic.ts';

const mesh = openMesh();
const namespace = 'matrix-ports';
const unscopedNamespace = 'matrix-ports-full';
const { http, tcpServerFirst } = appPorts;
let client: PodRef;
let unscoped: PodRef;

/** A Service with one port. The name of the port sets the protocol. */
const oneport = (name: string, port: number, portName: string, targetPort: number) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace },
  spec: { selector: { app: 'server' }, ports: [{ name: portName, port, targetPort }] },
});

beforeAll(async () => {
  await createFleet(mesh, { namespace, clients: ['client'], targets: 0, strict: true });
  await mesh.apply([
    namespaceObject(unscopedNamespace),
    ...workload(unscopedNamespace, 'unscoped'),
  ]);
  await mesh.rollout(unscopedNamespace);
  client = await mesh.pod(namespace, 'app=client');
  unscoped = await mesh.pod(unscopedNamespace, 'app=unscoped');
});

afterAll(() => deleteNamespaces(mesh, namespace, unscopedNamespace));

/**
 * The filter repeats a question about an unknown address after 5 s (companion/core), and then the
 * controller writes the scope and istiod pushes it. This allows three times as long.
 */
const laterMs = 15_000;
/** A bound for a hang. */
const reachedSeconds = 120;

/**
 * Each attempt has a timeout, so that a call that hangs counts as a failure and not as a late
 * success.
 */
async function untilAnswered(from: PodRef, url: string): Promise<number> {
  const startedAt = Date.now();
  const isAnswered = async () => {
    const { error, body } = await call(mesh, from, url, '--timeout', '3s');
    return (error ?? '') === '' && JSON.stringify(body).includes('server');
  };
  await mesh.waitFor(`${url} from ${from.name}`, isAnswered, reachedSeconds);
  return Date.now() - startedAt;
}

/**
 * Expects that the scoped client reaches the changed destination, and not much later than the
 * client with full configuration. Both start at the same time, and the second shows how long this
 * machine takes to send a change to proxies.
 */
async function expectReached(url: string): Promise<void> {
  const fully = url.replace(/:(\d+)/, `.${namespace}:$1`);
  const [fullMs, scopedMs] = await Promise.all([
    untilAnswered(unscoped, fully),
    untilAnswered(client, url),
  ]);
  expect(scopedMs).toBeLessThan(2 * fullMs + laterMs);
}

test('a Service with a port that is new to the mesh is reached', async () => {
  await mesh.apply([oneport('new-http', 8191, 'http', http)]);
  await expectReached('http://new-http:8191/');
});

test('a server that speaks first on a port that is HTTP elsewhere reaches its client, and HTTP still works', async () => {
  await mesh.apply([oneport('web', 8192, 'http', http)]);
  await expectReached('http://web:8192/');
  const urls = ['http://web:8192/'];
  const rps = await rateHere(mesh, client, urls, { wanted: 50 });
  const traffic = await startLoad(mesh, client, urls, { rps });
  await mesh.apply([oneport('database', 8192, 'tcp-db', tcpServerFirst)]);
  await expectReached('tcp://database:8192');
  const least = leastSince(traffic, rps);
  expectAllAnswered(await traffic.stop(), { least });
});

test('a Service that changes its protocol is reached under the new protocol', async () => {
  await mesh.apply([oneport('changing', 8193, 'http', http)]);
  await expectReached('http://changing:8193/');
  await mesh.apply([oneport('changing', 8193, 'tcp-db', tcpServerFirst)]);
  await expectReached('tcp://changing:8193');
  await mesh.apply([oneport('changing', 8193, 'http', http)]);
  await expectReached('http://changing:8193/');
});
