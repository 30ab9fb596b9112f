import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import {
  clusterNames,
  createFleet,
  deleteNamespaces,
  entryOf,
  hostOf,
  importedHosts,
  serviceObject,
  succeeded,
  target,
} from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { untilAddressed, untilServed } from '../../../box/served.ts';
import { appPorts } from '../../../box/shop.ts';

// First calls under settings that users make for one port, one client, one namespace or one
// machine.

const mesh = openMesh();
const namespace = 'policies';
const identity = `spiffe://cluster.local/ns/${namespace}/sa/client`;
const well = { status: 200, error: '', sees: true };
let client: PodRef;

const networking = (kind: string, name: string, spec: object) => ({
  apiVersion: 'networking.istio.io/v1',
  kind,
  metadata: { name, namespace },
  spec,
});
const httpOf = (name: string, ...flags: string[]) =>
  call(mesh, client, `http://${name}:${appPorts.http}/`, ...flags);

beforeAll(async () => {
  await createFleet(mesh, { namespace, clients: ['client'], targets: 4, strict: true });
  client = await mesh.pod(namespace, 'app=client');
  const server = await mesh.pod(namespace, 'app=server');
  const { status } = await mesh.get(['pod', server.name, '-n', namespace]);
  const http = { name: 'http', port: appPorts.http };
  await mesh.apply([
    {
      apiVersion: 'security.istio.io/v1',
      kind: 'PeerAuthentication',
      metadata: { name: 'server', namespace },
      spec: {
        selector: { matchLabels: { app: 'server' } },
        mtls: { mode: 'STRICT' },
        portLevelMtls: { [appPorts.tcpEcho]: { mode: 'DISABLE' } },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: 'kept',
        namespace,
        annotations: { 'networking.istio.io/exportTo': '.' },
      },
      spec: { selector: { app: 'server' }, ports: [http, { name: 'grpc', port: appPorts.grpc }] },
    },
    serviceObject(namespace, 'chosen', { ports: [http] }),
    networking('DestinationRule', 'chosen', {
      host: hostOf(namespace, 'chosen'),
      workloadSelector: { matchLabels: { app: 'another' } },
      trafficPolicy: { tls: { mode: 'DISABLE' } },
    }),
    networking('ServiceEntry', 'legacy', {
      hosts: ['legacy.example.org'],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      ports: [
        { number: appPorts.http, name: 'http', protocol: 'HTTP' },
        { number: appPorts.grpc, name: 'grpc', protocol: 'GRPC' },
      ],
      workloadSelector: { labels: { app: 'server' } },
    }),
    serviceObject(namespace, 'machine', { selector: { app: 'machine' }, ports: [http] }),
    networking('WorkloadEntry', 'machine', {
      address: status.podIP,
      labels: { app: 'machine' },
      serviceAccount: 'server',
    }),
  ]);
  await mesh.waitFor('what cannot wait in the proxy', async () =>
    (await clusterNames(mesh, client)).includes(`outbound|${appPorts.http}||legacy.example.org`),
  );
  await untilAddressed(mesh, namespace, 'kept');
  await untilServed(mesh, namespace, 'chosen');
});

afterAll(() => deleteNamespaces(mesh, namespace));

test('a port without mutual TLS does not affect the other ports', async () => {
  expect(succeeded(await httpOf(target(0)), identity)).toEqual(well);
  const echo = `tcp://${target(1)}:${appPorts.tcpEcho}`;
  const { error, body } = await call(mesh, client, echo, '--send', 'hello');
  expect([error ?? '', JSON.stringify(body).includes('server')]).toEqual(['', true]);
});

test('a first call to a host that the gateway cannot see bypasses the gateway', async () => {
  expect(succeeded(await httpOf('kept'), identity)).toEqual(well);
});

test('a rule for other clients has no effect', async () => {
  expect(succeeded(await httpOf('chosen'), identity)).toEqual(well);
});

test('a machine answers under the identity of its WorkloadEntry', async () => {
  expect(succeeded(await httpOf('machine'), identity)).toEqual(well);
  await mesh.waitFor('it to be in the scope', async () =>
    (await importedHosts(mesh, namespace, 'client')).includes(entryOf(namespace, 'machine')),
  );
});

test('calls that cannot be held reach a ServiceEntry inside the mesh', async () => {
  const upload = await httpOf('legacy.example.org', '--data-bytes', '100000');
  expect([upload.status, upload.body.name]).toEqual([200, 'server']);
  const grpc = `grpc://legacy.example.org:${appPorts.grpc}`;
  expect((await call(mesh, client, grpc, '--data', 'x')).error ?? '').toBe('');
});

test('a call to another address than the host has reaches the host', async () => {
  const host = `${target(3)}:${appPorts.http}`;
  expect(succeeded(await httpOf(target(2), '--host', host), identity)).toEqual(well);
});
