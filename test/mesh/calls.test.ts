import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../box/app-call.ts';
import { outside } from '../../box/cluster/network-plan.ts';
import { openMesh, type PodRef } from '../../box/mesh.ts';
import { untilAddressed } from '../../box/served.ts';
import { appPorts, namespaceObject, workload } from '../../box/shop.ts';

const mesh = openMesh();
const namespace = 'calls';
const bare = 'calls-bare';
let client: PodRef;
let stranger: PodRef;
let clusterIp: string;

const callerIdentity = `spiffe://cluster.local/ns/${namespace}/sa/client`;

beforeAll(async () => {
  await mesh.apply([
    namespaceObject(namespace),
    namespaceObject(bare, false),
    ...workload(namespace, 'client'),
    ...workload(namespace, 'server', { replicas: 2 }),
    ...workload(bare, 'stranger'),
  ]);
  await mesh.rollout(namespace);
  await mesh.rollout(bare);
  client = await mesh.pod(namespace, 'app=client');
  stranger = await mesh.pod(bare, 'app=stranger');
  const service = await mesh.get(['service', 'server', '-n', namespace]);
  clusterIp = service.spec.clusterIP;
  // Pods are ready before istiod has told every proxy of them, and before kube-proxy knows them.
  await untilAddressed(mesh, namespace, 'server');
  await mesh.waitFor('the server in the sidecar of the client', async () => {
    const { status } = await call(mesh, client, `http://server:${appPorts.http}/`);
    return status === 200;
  });
});

afterAll(() => mesh.kubectl(['delete', 'namespace', namespace, bare, '--wait=false']));

test.each([
  ['its short name', () => 'server'],
  ['name and namespace', () => `server.${namespace}`],
  ['its FQDN', () => `server.${namespace}.svc.cluster.local`],
  ['its ClusterIP', () => clusterIp],
])(
  'an injected client that calls a server by %s gets 200, and the server sees the client’s identity',
  async (_, host) => {
    const result = await call(mesh, client, `http://${host()}:${appPorts.http}/hello`);
    expect(result).toMatchObject({
      status: 200,
      body: { name: 'server', path: '/hello', peerIdentity: callerIdentity },
    });
  },
);

test('the two replicas of a server, one on each node, both answer', async () => {
  const nodes = new Set<string>();
  await mesh.waitFor('answers from both nodes', async () => {
    const { body } = await call(mesh, client, `http://server:${appPorts.http}/`);
    nodes.add(body.node);
    return nodes.size === 2;
  });
});

test('HTTP/2, gRPC unary and streaming, WebSocket, SSE and both kinds of TCP pass the sidecars', async () => {
  const { http, grpc, tcpServerFirst, tcpEcho } = appPorts;
  const h2 = await call(mesh, client, `http://server:${http}/`, '--http2');
  expect(h2).toMatchObject({ status: 200, protocol: 'HTTP/2.0' });
  const unary = await call(mesh, client, `grpc://server:${grpc}`, '--grpc-unary');
  expect(unary.error ?? '').toBe('');
  const stream = await call(mesh, client, `grpc://server:${grpc}`, '--grpc-stream', '5');
  expect(stream.error ?? '').toBe('');
  const socket = await call(mesh, client, `ws://server:${http}/ws`, '--websocket', '--data', 'hi');
  expect(socket.error ?? '').toBe('');
  const events = await call(
    mesh,
    client,
    `http://server:${http}/sse?events=3&interval=10ms`,
    '--sse',
  );
  expect(events).toMatchObject({ status: 200 });
  const banner = await call(mesh, client, `tcp://server:${tcpServerFirst}`);
  expect(JSON.stringify(banner.body)).toContain('server');
  const echo = await call(mesh, client, `tcp://server:${tcpEcho}`, '--send', 'hello');
  expect(JSON.stringify(echo.body)).toContain('hello');
});

test('a server outside the mesh is reached by its DNS name', async () => {
  const result = await call(mesh, client, `http://${outside.host}:8080/`);
  expect(result).toMatchObject({ status: 200, body: { name: 'outside', peerIdentity: '' } });
});

test('a client without a sidecar is served under PERMISSIVE and refused under STRICT', async () => {
  const url = `http://server.${namespace}:${appPorts.http}/`;
  expect(await call(mesh, stranger, url)).toMatchObject({
    status: 200,
    body: { peerIdentity: '' },
  });
  const strict = {
    apiVersion: 'security.istio.io/v1',
    kind: 'PeerAuthentication',
    metadata: { name: 'strict', namespace },
    spec: { mtls: { mode: 'STRICT' } },
  };
  await mesh.apply([strict]);
  await mesh.waitFor('the stranger to be refused', async () => {
    const result = await call(mesh, stranger, url, '--timeout', '5s');
    return result.error !== undefined && result.status !== 200;
  });
  expect(await call(mesh, client, url)).toMatchObject({
    status: 200,
    body: { peerIdentity: callerIdentity },
  });
});
