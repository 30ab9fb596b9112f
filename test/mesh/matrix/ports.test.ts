import { afterAll, beforeAll, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { createFleet, deleteNamespaces } from '../../../box/fleet.ts';
import { startLoad } from '../../../box/load.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { appPorts } from '../../../box/shop.ts';
import { expectAllAnswered, leastSince, rateHere } from '../traffic.ts';

const mesh = openMesh();
const namespace = 'matrix-ports';
const { http, tcpServerFirst } = appPorts;
let client: PodRef;

/** A Service of one port; the name of the port says what it speaks. */
const oneport = (name: string, port: number, portName: string, targetPort: number) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace },
  spec: { selector: { app: 'server' }, ports: [{ name: portName, port, targetPort }] },
});

beforeAll(async () => {
  await createFleet(mesh, { namespace, clients: ['client'], targets: 0, strict: true });
  client = await mesh.pod(namespace, 'app=client');
});

afterAll(() => deleteNamespaces(mesh, namespace));

/** Within the time for which the answer is kept that nobody knew the address yet, and a scope's. */
const reachedSeconds = 60;

/** Each try is bounded: one that hangs is a failure, not a long success. */
const answers = (url: string) => async () => {
  const { error, body } = await call(mesh, client, url, '--timeout', '3s');
  return (error ?? '') === '' && JSON.stringify(body).includes('server');
};

test('a Service with a port that the mesh did not have is reached', async () => {
  await mesh.apply([oneport('new-http', 8191, 'http', http)]);
  await mesh.waitFor('the new port', answers('http://new-http:8191/'), reachedSeconds);
});

test('a server that speaks first on a port that is HTTP elsewhere is heard, and HTTP goes on', async () => {
  await mesh.apply([oneport('web', 8192, 'http', http)]);
  await mesh.waitFor('the HTTP service', answers('http://web:8192/'), reachedSeconds);
  const urls = ['http://web:8192/'];
  const rps = await rateHere(mesh, client, urls, { wanted: 50 });
  const traffic = await startLoad(mesh, client, urls, { rps });
  await mesh.apply([oneport('database', 8192, 'tcp-db', tcpServerFirst)]);
  await mesh.waitFor('the banner', answers('tcp://database:8192'), reachedSeconds);
  const least = leastSince(traffic, rps);
  expectAllAnswered(await traffic.stop(), { least });
});

test('a Service that changes its protocol is reached by the new one', async () => {
  await mesh.apply([oneport('changing', 8193, 'http', http)]);
  await mesh.waitFor('HTTP', answers('http://changing:8193/'), reachedSeconds);
  await mesh.apply([oneport('changing', 8193, 'tcp-db', tcpServerFirst)]);
  await mesh.waitFor('TCP', answers('tcp://changing:8193'), reachedSeconds);
  await mesh.apply([oneport('changing', 8193, 'http', http)]);
  await mesh.waitFor('HTTP again', answers('http://changing:8193/'), reachedSeconds);
});
