import type { AddressInfo } from 'node:net';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { accessLogParts } from '../../box/envoy/access-log-patches.ts';
import { bootstrap, cluster, type Json, mutualTls, type } from '../../box/envoy/bootstrap.ts';
import { type Envoy, startEnvoy } from '../../box/envoy/envoy.ts';
import { log, podObject, testMetrics } from '../../box/played/fixtures.ts';
import { createAccessLogs } from '../../companion/node/access-log.ts';
import { startAccessLogServer } from '../../companion/node/access-log-server.ts';
import { createAggregate } from '../../companion/node/aggregate.ts';
import { createPods } from '../../companion/node/pods.ts';
import {
  type Certificates,
  makeCertificates,
  startMutualTcp,
  startTcp,
  type Upstream,
} from './upstreams.ts';

// The patches of manifests/namespace-access-log in a cluster with IPv4 and IPv6: the ranges of
// Services, what an unknown call reaches, and what the companion learns of it. The PROXY protocol
// says which address the app called.

const plainService = '::2';
const outside = '2001:db8::1';
const outsideV4 = '192.0.2.1';
const parts = accessLogParts('127.0.0.0/8', plainService, '::/112');

const { metrics } = testMetrics();
const now = () => performance.now();
const ignore = () => undefined;
const pods = createPods({ metrics, onGone: ignore, onMode: ignore });
const labels = { 'lazyscope.io/mode': 'enforce', 'lazyscope.io/source': 'access-log' };
const aggregate = createAggregate({ metrics, now, sourceOf: pods.sourceOf });

let certificates: Certificates;
let mesh: Upstream;
let meshV4: Upstream;
let plain: Upstream;
let server: Awaited<ReturnType<typeof startAccessLogServer>>;
let envoy: Envoy;

function tcpListener(): Json {
  const proxyProtocol = type('envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol');
  return {
    name: 'catch-all',
    address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
    listener_filters: [
      { name: 'envoy.filters.listener.proxy_protocol', typed_config: { '@type': proxyProtocol } },
    ],
    filter_chains: [
      {
        filters: [
          ...parts.markers.slice(1, 2),
          {
            name: 'envoy.filters.network.tcp_proxy',
            typed_config: {
              ...{ ...parts.unknownTcpProxy, stat_prefix: 'tcp', cluster: 'PassthroughCluster' },
            },
          },
        ],
      },
    ],
  };
}

beforeAll(async () => {
  pods.upsertNamespace({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } });
  pods.upsertPod(podObject('six', '::1'));
  pods.upsertPod(podObject('four', '127.0.0.1'));
  certificates = await makeCertificates('spiffe://cluster.local/ns/app/sa/pay');
  [plain, mesh, meshV4] = await Promise.all([
    startTcp('plain', false),
    startMutualTcp('mesh', certificates.server, false, '::1'),
    startMutualTcp('mesh of IPv4', certificates.server, false),
  ]);
  const logs = createAccessLogs({ aggregate, metrics, now, pods, onReport: ignore });
  const serves = (address: string) => 'pod' in pods.find(address);
  server = await startAccessLogServer({ port: 0, host: '::', logs, serves, metrics, log });
  const { port } = server.server.address() as AddressInfo;
  const address = { socket_address: { address: '::1', port_value: port } };
  const { cluster_type, ...shippedLog } = parts.clusterOf('lazyscope-access-log');
  envoy = await startEnvoy(
    bootstrap(
      [tcpListener()],
      [
        cluster('PassthroughCluster', plain.port),
        // The shipped cluster, with certificates from files.
        { ...parts.clusterOf('lazyscope-unknown'), ...mutualTls(certificates.client) },
        parts.clusterOf('lazyscope-nowhere'),
        {
          ...{ ...shippedLog, type: 'STATIC' },
          load_assignment: {
            cluster_name: 'lazyscope-access-log',
            endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }],
          },
        },
      ],
    ),
  );
});

afterAll(async () => {
  await envoy?.stop();
  await server?.close();
  await Promise.all([mesh, meshV4, plain].map((each) => each?.stop()));
  await certificates?.remove();
});

/** A connection of an app that called that address. */
function call(address: string, bytes: string): Socket {
  const socket = connect(envoy.port('catch-all'), '127.0.0.1');
  const [proxied, port] = address.includes(':')
    ? ['TCP6 fd00::9', mesh.port]
    : ['TCP4 10.1.0.1', meshV4.port];
  socket.write(`PROXY ${proxied} ${address} 40000 ${port}\r\n${bytes}`);
  return socket;
}

/** What the app gets. */
const send = (address: string) => text(call(address, 'hello'));

const learned = (name: string) => {
  const proxy = aggregate.get(`uid-${name}`);
  const edges = proxy ? aggregate.changesSince(proxy, 0) : [];
  return edges.map(({ unknown }) => unknown?.destination);
};

test('an unknown call gets mutual TLS to its IPv6 address if that is one of a Service, and no other one', async () => {
  expect(await send('::1')).toMatch(/^mesh got hello/);
  expect(await send(outside)).toMatch(/^plain got hello/);
  expect(await send(plainService)).toMatch(/^plain got hello/);
});

test('so does one to its IPv4 address, where a cluster has a range of each', async () => {
  expect(await send('127.0.0.1')).toMatch(/^mesh of IPv4 got hello/);
  expect(await send(outsideV4)).toMatch(/^plain got hello/);
});

test('the companion knows a pod by its IPv6 address, and learns which address it called', async () => {
  const called = ['::1', outside, plainService].map((address) => `[${address}]:${mesh.port}`);
  await expect.poll(() => learned('six')).toEqual(expect.arrayContaining(called));
  expect(learned('four')).toEqual([]);
});

test('a connection to an unknown destination is learned while it is open', async () => {
  const address = '2001:db8::2';
  const socket = call(address, '');
  await expect.poll(() => learned('six')).toContain(`[${address}]:${mesh.port}`);
  expect(socket.closed).toBe(false);
  socket.destroy();
});
