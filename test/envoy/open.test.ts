import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { Agent, createServer } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { connect, createServer as createTcpServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  bootstrap,
  cluster,
  discoveredFilter,
  filterDiscovery,
  httpListener,
  tcpListener,
  type,
} from '../../box/envoy/bootstrap.ts';
import { type Companion, startCompanion } from '../../box/envoy/companion.ts';
import { type Envoy, startEnvoy } from '../../box/envoy/envoy.ts';
import { routeConfig } from '../../box/envoy/routes.ts';
import { listen } from '../../embedded/listen.ts';
import { call } from './client.ts';
import { startHttp, type Upstream } from './upstreams.ts';

const hosts = {
  socket: 'outbound|80||socket.app.svc.cluster.local',
  stream: 'outbound|80||stream.app.svc.cluster.local',
  idle: 'outbound|80||idle.app.svc.cluster.local',
};

let folder: string;
let companion: Companion;
let upstreams: Upstream[] = [];
let envoy: Envoy;

const echo = (socket: Socket) => void socket.on('error', () => {}).pipe(socket);

/** An upstream that accepts each request for an upgrade and echoes the bytes. */
function startWebSocket(): Promise<Upstream> {
  const server = createServer();
  server.on('upgrade', (_request, socket: Socket) => {
    const status = 'HTTP/1.1 101 Switching Protocols';
    socket.write(`${status}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`);
    echo(socket);
  });
  return listen(server);
}

/** An HTTP/2 upstream that answers each piece of a stream at once, as gRPC servers do. */
function startStream(): Promise<Upstream> {
  return listen(
    createHttp2Server((request, response) => {
      response.writeHead(200);
      request.on('error', () => {}).pipe(response);
    }),
  );
}

const http2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': type('envoy.extensions.upstreams.http.v3.HttpProtocolOptions'),
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
};

/** Sends the configuration as istiod does after a change of the WasmPlugin. */
async function setPlugin(version: number, pluginConfig: unknown): Promise<void> {
  const path = join(folder, 'filter.json');
  await writeFile(`${path}.new`, JSON.stringify(filterDiscovery(version, pluginConfig)));
  await rename(`${path}.new`, path);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lazyscope-open-'));
  await setPlugin(1, { mode: 'http' });
  companion = await startCompanion();
  upstreams = await Promise.all([
    startWebSocket(),
    startStream(),
    startHttp('idle'),
    listen(createTcpServer(echo)),
  ]);
  const [socket = 0, stream = 0, idle = 0, tcp = 0] = upstreams.map(({ port }) => port);
  const routes = { route_config: routeConfig(hosts) };
  envoy = await startEnvoy(
    bootstrap(
      [
        httpListener('http', routes, discoveredFilter(join(folder, 'filter.json'))),
        tcpListener('tcp', { mode: 'tcp' }, 'outbound|3306||db.app.svc.cluster.local'),
      ],
      [
        cluster(hosts.socket, socket),
        cluster(hosts.stream, stream, http2),
        cluster(hosts.idle, idle),
        cluster('PassthroughCluster', tcp),
        cluster('lazyscope-node', companion.port),
        cluster('lazyscope-hold', companion.port),
      ],
    ),
  );
});

afterAll(async () => {
  await envoy?.stop();
  await Promise.all(upstreams.map((upstream) => upstream.stop()));
  await companion?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** The highest reported count of each destination, by the name of the destination. */
function counts(): { [name: string]: bigint } {
  const entries = companion.reports.flatMap((report) => report.entries);
  const all: { [name: string]: bigint } = {};
  for (const { destination, count } of entries) {
    const name = Object.values(destination).slice(1).join(' ');
    if (count > (all[name] ?? 0n)) all[name] = count;
  }
  return all;
}

test('open streams are reported again each minute, even after a change of the filter, and idle connections are not', async () => {
  const port = envoy.port('http');
  const agent = new Agent({ keepAlive: true });
  const tcp = connect(envoy.port('tcp'), '127.0.0.1');
  const socket = connect(port, '127.0.0.1');
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  try {
    const headers = 'host: socket\r\nconnection: upgrade\r\nupgrade: websocket';
    socket.write(`GET / HTTP/1.1\r\n${headers}\r\n\r\n`);
    tcp.write('hello');
    const stream = session.request({ ':method': 'POST', ':path': '/', ':authority': 'stream' });
    stream.write('hello');
    await call(port, { host: 'idle' }, { agent });
    const open = [hosts.socket, hosts.stream, `127.0.0.1:${envoy.port('tcp')}`];
    await expect.poll(() => Object.keys(counts()).sort()).toEqual([...open, hosts.idle].sort());
    await setPlugin(2, { mode: 'http', flushSeconds: 1 });
    const isToldAgain = () => open.every((name) => (counts()[name] ?? 0n) >= 2n);
    await expect.poll(isToldAgain, { timeout: 240_000 }).toBe(true);
    expect(counts()[hosts.idle]).toBe(1n);
    expect([tcp.destroyed, socket.destroyed, stream.closed]).toEqual([false, false, false]);
  } finally {
    agent.destroy();
    tcp.destroy();
    socket.destroy();
    session.destroy();
  }
});
