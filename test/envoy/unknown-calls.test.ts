import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { accessLogParts } from '../../box/envoy/access-log-patches.ts';
import { bootstrap, cluster, type Json, mutualTls, type } from '../../box/envoy/bootstrap.ts';
import { type Envoy, startEnvoy } from '../../box/envoy/envoy.ts';
import {
  type Certificates,
  makeCertificates,
  startMutualTcp,
  startTcp,
  type Upstream,
} from './upstreams.ts';

// A sidecar with the patches of manifests/namespace-access-log, and no Wasm. The PROXY protocol
// says which address the app called; the clusters lead to two servers, one of them in the mesh.

const service = '10.96.3.4';
const plainService = '10.96.0.1';
const outside = '192.0.2.1';
const http = 'GET / HTTP/1.0\r\nhost: pay\r\n\r\n';

const parts = accessLogParts('10.96.0.0/16', plainService);
const { markers, manager, tcpProxy, waiting } = parts;

/** Connections of the two clusters of unknown calls. */
const connections = '^cluster\\.(lazyscope-unknown|PassthroughCluster)\\.upstream_cx_total$';
const everything = { prefix: '/' };
const istioRoutes: Record<string, Json> = {
  allow_any: { match: everything, route: { cluster: 'PassthroughCluster' } },
  block_all: { match: everything, direct_response: { status: 502 } },
};

function listener(name: string, filters: Json[]): Json {
  const proxyProtocol = type('envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol');
  return {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
    listener_filters: [
      { name: 'envoy.filters.listener.proxy_protocol', typed_config: { '@type': proxyProtocol } },
    ],
    filter_chains: [{ filters }],
  };
}

function httpListener(virtualHost: string): Json {
  const router = { '@type': type('envoy.extensions.filters.http.router.v3.Router') };
  const late = {
    name: 'late',
    domains: ['late'],
    routes: [{ match: everything, route: { cluster: 'late' } }],
  };
  const unknown = {
    name: virtualHost,
    domains: ['*'],
    routes: [...parts.routesOf(virtualHost), istioRoutes[virtualHost]],
  };
  return listener(virtualHost, [
    ...markers.slice(0, 1),
    {
      name: 'envoy.filters.network.http_connection_manager',
      typed_config: {
        ...manager,
        stat_prefix: virtualHost,
        http_protocol_options: { accept_http_10: true },
        route_config: {
          name: virtualHost,
          validate_clusters: false,
          virtual_hosts: [late, unknown],
        },
        http_filters: [waiting, { name: 'envoy.filters.http.router', typed_config: router }],
      },
    },
  ]);
}

function tcpListener(name: string, marker: Json[], to: string): Json {
  return listener(name, [
    ...marker,
    {
      name: 'envoy.filters.network.tcp_proxy',
      typed_config: { ...tcpProxy, stat_prefix: name, cluster: to },
    },
  ]);
}

let certificates: Certificates;
let upstreams: Upstream[] = [];
let envoy: Envoy;
let folder: string;

/** Clusters that istiod would send later; Envoy watches the file. */
async function putClusters(clusters: Json[]): Promise<void> {
  const resources = clusters.map((each) => ({
    '@type': type('envoy.config.cluster.v3.Cluster'),
    ...each,
  }));
  await writeFile(join(folder, 'next.json'), JSON.stringify({ resources }));
  await rename(join(folder, 'next.json'), join(folder, 'clusters.json'));
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lazyscope-unknown-'));
  await putClusters([]);
  certificates = await makeCertificates('spiffe://cluster.local/ns/app/sa/pay');
  upstreams = await Promise.all([
    startTcp('plain', false),
    startMutualTcp('mesh', certificates.server, false),
  ]);
  const [plain, mesh] = upstreams.map(({ port }) => port);
  const path = join(folder, 'clusters.json');
  envoy = await startEnvoy({
    ...bootstrap(
      [
        httpListener('allow_any'),
        httpListener('block_all'),
        tcpListener('catch-all', markers.slice(1, 2), 'PassthroughCluster'),
        tcpListener('http-port', markers.slice(2), 'PassthroughCluster'),
        tcpListener('late', [], 'late'),
      ],
      [
        cluster('PassthroughCluster', plain ?? 0),
        cluster('lazyscope-unknown', mesh ?? 0, mutualTls(certificates.client)),
        cluster('lazyscope-access-log', 9),
        parts.clusterOf('lazyscope-nowhere'),
      ],
    ),
    dynamic_resources: { cds_config: { path_config_source: { path }, resource_api_version: 'V3' } },
  });
});

afterAll(async () => {
  await envoy?.stop();
  await Promise.all(upstreams.map((each) => each.stop()));
  await certificates?.remove();
  await rm(folder, { recursive: true });
});

/** Bytes of an app that called that address, and what came back. */
async function send(name: string, address: string, bytes: string): Promise<string> {
  const socket = connect(envoy.port(name), '127.0.0.1');
  socket.write(`PROXY TCP4 10.1.0.1 ${address} 40000 80\r\n${bytes}`);
  return text(socket);
}

test.each(['catch-all', 'http-port'])(
  'an unknown connection in the chain %s gets mutual TLS if the app called a Service, and no other one',
  async (chain) => {
    expect(await send(chain, service, 'hello')).toMatch(/^mesh/);
    expect(await send(chain, outside, 'hello')).toMatch(/^plain/);
    expect(await send(chain, plainService, 'hello')).toMatch(/^plain/);
  },
);

test('an unknown request gets mutual TLS if the app called a Service, under every outbound policy', async () => {
  const seen = async (virtualHost: string, address: string) => {
    const before = await envoy.stats(connections);
    const answer = await send(virtualHost, address, http);
    const after = await envoy.stats(connections);
    const used = [...after].filter(([name, count]) => count > (before.get(name) ?? 0));
    return used.map(([name]) => name.split('.')[1]).join() || answer.split('\r\n')[0];
  };
  expect(await seen('allow_any', service)).toBe('lazyscope-unknown');
  expect(await seen('allow_any', outside)).toBe('PassthroughCluster');
  expect(await seen('allow_any', plainService)).toBe('PassthroughCluster');
  expect(await seen('block_all', service)).toBe('lazyscope-unknown');
  expect(await seen('block_all', outside)).toContain('502');
  expect(await seen('block_all', plainService)).toContain('502');
});

test('a call whose route came before its cluster waits for the cluster', async () => {
  const waits = [
    send('allow_any', service, 'GET / HTTP/1.0\r\nhost: late\r\n\r\n'),
    send('late', service, 'hello'),
  ];
  await expect
    .poll(async () => {
      const found = await envoy.stats(
        '^(http.allow_any.downstream_rq_active|tcp.late.downstream_cx_total)$',
      );
      return [...found.values()];
    })
    .toEqual([1, 1]);
  const port = upstreams[0]?.port ?? 0;
  await putClusters([cluster('late', port)]);
  const [, tcp] = await Promise.all(waits);
  expect(tcp).toMatch(/^plain got/);
  const used = await envoy.stats('^cluster\\.late\\.upstream_cx_total$');
  expect([...used.values()]).toEqual([2]);
});
