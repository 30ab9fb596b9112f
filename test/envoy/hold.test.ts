import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { Agent } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  bootstrap,
  cluster,
  httpFilter,
  httpListener,
  type Json,
  knownCluster,
} from '../../box/envoy/bootstrap.ts';
import { type Companion, gateway, hold, startCompanion } from '../../box/envoy/companion.ts';
import { type Envoy, startEnvoy } from '../../box/envoy/envoy.ts';
import { routeConfig, routeDiscovery, routesFrom } from '../../box/envoy/routes.ts';
import { call } from './client.ts';
import { type Seen, startHttp, type Upstream } from './upstreams.ts';

const holdSeconds = 1;

let folder: string;
let companion: Companion;
let upstreams: Upstream[] = [];
let envoy: Envoy;
let version = 0;

async function writeRoutes(routes: Json): Promise<void> {
  const path = join(folder, 'routes.json');
  await writeFile(`${path}.new`, JSON.stringify(routeDiscovery(++version, routes)));
  await rename(`${path}.new`, path);
}

/** The companion's part while a request is held: the scope goes live, as after istiod's push. */
const goLive = (host: string) => setRoutes({ [host]: knownCluster });

async function setRoutes(known: { [host: string]: string }, matched = '/'): Promise<void> {
  await writeRoutes(routeConfig(known, { matched }));
  const wanted = String(version);
  await expect
    .poll(() => envoy.admin('/config_dump?resource=dynamic_route_configs'))
    .toContain(`"version_info": "${wanted}"`);
}

/** Headers that a hold would leave behind. */
function ours(seen: Seen | undefined): string[] {
  const names = Object.keys(seen?.headers ?? {});
  return names.filter((name) => /lazyscope|x-envoy-original-url/.test(name));
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lazyscope-routes-'));
  await writeRoutes(routeConfig({}));
  companion = await startCompanion();
  upstreams = await Promise.all(['reviews', 'outside', 'egress'].map((name) => startHttp(name)));
  const ports = upstreams.map((u) => u.port);
  envoy = await startEnvoy(
    bootstrap(
      [
        httpListener(
          'http',
          routesFrom(join(folder, 'routes.json')),
          httpFilter({ mode: 'http', holdSeconds }),
        ),
      ],
      [
        cluster(knownCluster, ports[0] ?? 0),
        cluster('PassthroughCluster', ports[1] ?? 0),
        cluster('lazyscope-egress', ports[2] ?? 0),
        cluster('lazyscope-node', companion.port),
        cluster('lazyscope-hold', companion.port),
      ],
    ),
  );
});

afterAll(async () => {
  await envoy?.stop();
  await Promise.all(upstreams.map((u) => u.stop()));
  await companion?.stop();
  await rm(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  await setRoutes({});
  companion.questions.length = 0;
  companion.held.length = 0;
  companion.answer = () => hold();
  companion.hold = () => sleep(50);
});

test('a held request that no rule of its host matches gets Envoy’s 404', async () => {
  const host = 'ruled.app:9080';
  companion.hold = () => setRoutes({ [host]: knownCluster }, '/other');
  const { status, seen } = await call(envoy.port('http'), { host });
  expect([status, seen]).toEqual([404, undefined]);
  expect(companion.held).toHaveLength(1);
});

test('a held request runs again with its body once the scope is live', async () => {
  const host = 'live.app:9080';
  companion.hold = () => goLive(host);
  const body = 'x'.repeat(60_000);
  const headers = { host, 'content-length': String(body.length), 'x-own': '1' };
  const { status, seen } = await call(envoy.port('http'), headers, {
    method: 'POST',
    path: '/orders?id=1',
    body,
  });
  expect([status, seen?.server, seen?.method, seen?.url]).toEqual([
    200,
    'reviews',
    'POST',
    '/orders?id=1',
  ]);
  expect(seen?.body).toBe(body);
  expect(seen?.headers['x-own']).toBe('1');
  const [held] = companion.held;
  expect(held?.body.toString()).toBe(body);
  expect(held?.headers['x-lazyscope-destination']).toBe(`127.0.0.1:${envoy.port('http')}`);
});

test.each([
  { 'x-forwarded-proto': 'https' },
  { 'x-forwarded-for': '192.0.2.1' },
  { expect: '100-continue', 'content-length': '4' },
  { te: 'trailers' },
  { cookie: 'a=1; b=2', 'user-agent': 'x', 'accept-encoding': 'br' },
])('a held request keeps %o', async (headers) => {
  const [name] = Object.keys(headers);
  const [plain, kept] = [`plain-${name}.app`, `kept-${name}.app`];
  const options = 'content-length' in headers ? { method: 'POST', body: 'body' } : {};
  companion.answer = ({ authority }) => (authority === plain ? gateway() : hold());
  companion.hold = () => goLive(kept);
  const steered = await call(envoy.port('http'), { host: plain, ...headers }, options);
  const held = await call(envoy.port('http'), { host: kept, ...headers }, options);
  expect([steered.seen?.server, held.seen?.server]).toEqual(['egress', 'reviews']);
  const { 'x-request-id': _, ...wanted } = steered.seen?.headers ?? {};
  expect(held.seen?.headers).toMatchObject({ ...wanted, host: kept });
  expect(held.seen?.body).toBe(steered.seen?.body);
});

// Methods that the parsers of Envoy and of the client also know.
test.each(['HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'LOCK', 'PURGE'])(
  'a held %s request runs again unchanged',
  async (method) => {
    const host = `${method.toLowerCase()}.app:9080`;
    companion.hold = () => goLive(host);
    const { status, seen } = await call(envoy.port('http'), { host }, { method, path: '/a?b' });
    expect(status).toBe(200);
    expect(companion.held.length).toBeGreaterThan(0);
    // A response to HEAD has no body that could name the method.
    if (method !== 'HEAD')
      expect([seen?.server, seen?.method, seen?.url]).toEqual(['reviews', method, '/a?b']);
  },
);

test('the destination of a held request sees no header of ours', async () => {
  const host = 'clean.app:9080';
  companion.hold = () => goLive(host);
  const { seen } = await call(envoy.port('http'), { host });
  expect(seen?.server).toBe('reviews');
  expect(ours(seen)).toEqual([]);
});

test.each([
  ['plain', '/a%2Fb/%C3%A4?q=[1]&r={2}|"3"<4>^`?5'],
  ['UPPER.app:1', '/'],
  ['10.0.0.7:9080', '/?'],
  ['[fd00::7]:9080', '/;p=1//x'],
  ['reviews.app.svc.cluster.local.', '/'.padEnd(4000, 'x')],
  ['dotted.app', '/a/../b'],
])('a held request for %s%s runs again unchanged', async (host, path) => {
  companion.hold = () => goLive(host);
  const { status, seen } = await call(envoy.port('http'), { host }, { path });
  expect([status, seen?.server, seen?.headers.host, seen?.url]).toEqual([
    200,
    'reviews',
    host,
    path,
  ]);
});

test.each(['under_score.app', 'user@host.app', 'odd$.app', 'port.app:', 'port.app:99999', '*'])(
  'Envoy cannot redirect to %s, so the request is not held',
  async (host) => {
    const { status, seen } = await call(envoy.port('http'), { host });
    expect([status, seen?.server]).toEqual([200, 'egress']);
    expect(companion.held).toEqual([]);
  },
);

test('a request whose scope does not come takes the fallback after the deadline', async () => {
  const { status, seen } = await call(envoy.port('http'), { host: 'never.app:9080' });
  expect([status, seen?.server]).toEqual([200, 'egress']);
  expect(companion.held.length).toBeGreaterThan(1);
  expect(ours(seen)).toEqual([]);
});

test('a companion that sends every request back at once cannot make it loop', async () => {
  companion.hold = async () => {};
  const { status, seen } = await call(envoy.port('http'), { host: 'impatient.app:9080' });
  expect([status, seen?.server]).toEqual([200, 'egress']);
  expect(companion.held.length).toBeLessThanOrEqual(24);
});

test.each([
  ['a large body', { 'content-length': '70000' }, { method: 'POST', body: 'x'.repeat(70_000) }],
  ['a rare method', {}, { method: 'UNBIND' }],
  ['a body of unknown size', { 'transfer-encoding': 'chunked' }, { method: 'POST', body: 'x' }],
  [
    'gRPC',
    { 'content-type': 'application/grpc', 'content-length': '1' },
    { method: 'POST', body: 'x' },
  ],
])('%s is not held', async (what, headers, options) => {
  const host = `${what.replaceAll(' ', '-').toLowerCase()}.app`;
  const { seen } = await call(envoy.port('http'), { host, ...headers }, options);
  expect(seen?.server).toBe('egress');
  expect(companion.held).toEqual([]);
});

test('announced trailers are not held', async () => {
  // The HTTP client of Node.js announces trailers only with a body of unknown size.
  const socket = connect(envoy.port('http'), '127.0.0.1');
  const head = ['POST / HTTP/1.1', 'host: trailers.app', 'trailer: x-sum', 'content-length: 1'];
  socket.write([...head, 'connection: close', '', 'x'].join('\r\n'));
  expect(await text(socket)).toMatch(/^HTTP\/1\.1 200 .*"server":"egress"/s);
  expect(companion.held).toEqual([]);
});

test('each request on a connection has its own deadline', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const first = await call(envoy.port('http'), { host: 'twice.app:9080' }, { agent });
  const rounds = companion.held.length;
  const second = await call(envoy.port('http'), { host: 'twice.app:9080' }, { agent });
  agent.destroy();
  expect([first.seen?.server, second.seen?.server]).toEqual(['egress', 'egress']);
  expect(companion.held.length).toBeGreaterThan(rounds);
});

test('a held request is counted once, and no round fails', async () => {
  await expect
    .poll(() => companion.reports.flatMap((r) => r.entries), { timeout: 60_000 })
    .toContainEqual({
      destination: {
        kind: 'http',
        authority: 'never.app:9080',
        address: `127.0.0.1:${envoy.port('http')}`,
      },
      count: 1n,
    });
  expect(companion.reports.at(-1)?.totals.errors).toBe(0n);
});
