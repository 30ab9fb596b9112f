import { Agent } from 'node:http';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  bootstrap,
  cluster,
  httpFilter,
  httpListener,
  knownCluster,
  mutualTls,
} from '../../box/envoy/bootstrap.ts';
import {
  type Companion,
  direct,
  gateway,
  passthrough,
  startCompanion,
} from '../../box/envoy/companion.ts';
import { type Envoy, startEnvoy } from '../../box/envoy/envoy.ts';
import { routeConfig } from '../../box/envoy/routes.ts';
import { call } from './client.ts';
import {
  type Certificates,
  makeCertificates,
  type Passage,
  startHttp,
  startMutualTls,
  startPassage,
  type Upstream,
} from './upstreams.ts';

const good = 'spiffe://cluster.local/ns/app/sa/reviews';
const evil = 'spiffe://cluster.local/ns/app/sa/evil';

let companion: Companion;
let certificates: Certificates;
let upstreams: Upstream[] = [];
let gatewayPassage: Passage;
let envoy: Envoy;

beforeAll(async () => {
  companion = await startCompanion();
  certificates = await makeCertificates(good);
  const plain = ['reviews', 'outside'].map((name) => startHttp(name));
  const tls = ['egress', 'direct'].map((name) => startMutualTls(name, certificates.server));
  upstreams = await Promise.all([...plain, ...tls]);
  const ports = upstreams.map((u) => u.port);
  gatewayPassage = await startPassage(ports[2] ?? 0);
  upstreams.push(gatewayPassage);
  const routes = { 'reviews:9080': knownCluster };
  const filter = httpFilter({ mode: 'http' });
  envoy = await startEnvoy(
    bootstrap(
      [
        httpListener('allow', { route_config: routeConfig(routes) }, filter),
        httpListener(
          'proxy',
          { route_config: routeConfig(routes, { outside: knownCluster }) },
          filter,
        ),
        httpListener('block', { route_config: routeConfig(routes, { blocked: true }) }, filter),
      ],
      [
        cluster(knownCluster, ports[0] ?? 0),
        cluster('PassthroughCluster', ports[1] ?? 0),
        cluster('lazyscope-egress', gatewayPassage.port, mutualTls(certificates.client)),
        cluster('lazyscope-direct', ports[3] ?? 0, mutualTls(certificates.client)),
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
  await certificates?.remove();
});

beforeEach(() => {
  companion.questions.length = 0;
});

test('the filter asks no question about a known destination', async () => {
  const { status, seen } = await call(envoy.port('allow'), { host: 'reviews:9080' });
  expect([status, seen?.server]).toEqual([200, 'reviews']);
  expect(companion.questions).toEqual([]);
});

test('the filter asks no question about a known host whose route answers by itself', async () => {
  const { status } = await call(envoy.port('allow'), { host: 'teapot' });
  expect(status).toBe(418);
  expect(companion.questions).toEqual([]);
});

test('gateway: an unknown destination goes to the egress gateway under the SNI of the answer', async () => {
  companion.answer = () => gateway({ 'x-lazyscope-identities': `${evil},${good}` });
  const { status, seen } = await call(envoy.port('allow'), { host: 'gateway.app:9080' });
  expect([status, seen?.server]).toEqual([200, 'egress']);
  expect(seen?.sni).toBe('outbound_.9080_._.reviews.app.svc.cluster.local');
  expect(seen?.headers.host).toBe('gateway.app:9080');
  expect(companion.questions).toEqual([
    {
      call: 'http',
      authority: 'gateway.app:9080',
      destination: `127.0.0.1:${envoy.port('allow')}`,
    },
  ]);
});

test('direct: an unknown destination is called under mutual TLS', async () => {
  companion.answer = () => direct({ 'x-lazyscope-identities': good });
  const { status, seen } = await call(envoy.port('allow'), { host: 'direct.app:9080' });
  expect([status, seen?.server]).toEqual([200, 'direct']);
});

test('passthrough: an unknown destination keeps its route', async () => {
  companion.answer = () => passthrough;
  const allowed = await call(envoy.port('allow'), { host: 'example.com' });
  expect([allowed.status, allowed.seen?.server]).toEqual([200, 'outside']);
  const blocked = await call(envoy.port('block'), { host: 'example.com' });
  expect(blocked.status).toBe(502);
});

test('an egressProxy is no destination: the filter asks about its calls, and leaves them to the proxy', async () => {
  companion.answer = () => gateway({ 'x-lazyscope-identities': good });
  const inside = await call(envoy.port('proxy'), { host: 'inside' });
  companion.answer = () => passthrough;
  const outside = await call(envoy.port('proxy'), { host: 'outside.example' });
  const known = await call(envoy.port('proxy'), { host: 'reviews:9080' });
  const servers = [inside, outside, known].map(({ seen }) => seen?.server);
  expect(servers).toEqual(['egress', 'reviews', 'reviews']);
  expect(companion.questions.map(({ authority }) => authority)).toEqual([
    'inside',
    'outside.example',
  ]);
});

test('a blocked destination is steered like an allowed one', async () => {
  companion.answer = () => gateway();
  const { status, seen } = await call(envoy.port('block'), { host: 'blocked.app:9080' });
  expect([status, seen?.server]).toEqual([200, 'egress']);
});

test('a redirect of the destination belongs to the app', async () => {
  companion.answer = () => gateway();
  const path = '/status/307';
  const { status, seen } = await call(envoy.port('allow'), { host: 'moved.app' }, { path });
  expect([status, seen?.server]).toEqual([307, 'egress']);
});

test('a server whose identity is not in the answer is refused', async () => {
  companion.answer = () => gateway({ 'x-lazyscope-identities': evil });
  const { status } = await call(envoy.port('allow'), { host: 'evil.app:9080' });
  expect(status).toBe(503);
  const refused = 'cluster.lazyscope-egress.ssl.fail_verify_san';
  expect((await envoy.stats(`^${refused}$`)).get(refused)).toBeGreaterThan(0);
});

test('a first call survives seven connections that end at a dead gateway', async () => {
  // Another SNI, so that Envoy opens a connection for this call.
  companion.answer = () => gateway({ 'x-lazyscope-sni': 'outbound_.9080_._.dying.app' });
  gatewayPassage.resets = 7;
  const { status, seen } = await call(envoy.port('allow'), { host: 'dying.app:9080' });
  expect([status, seen?.server, gatewayPassage.resets]).toEqual([200, 'egress', 0]);
  expect(seen?.headers).not.toHaveProperty('x-envoy-max-retries');
});

const retries = {
  'x-lazyscope-retries': '2',
  'x-lazyscope-retry-grpc-on': 'unavailable,cancelled',
};
const retriesOfMesh = {
  ...retries,
  'x-lazyscope-retries': '3',
  'x-lazyscope-retry-on': 'retriable-status-codes',
  'x-lazyscope-retry-codes': '503',
};
const grpc = { 'content-type': 'application/grpc' };

test.each([
  ['gRPC UNAVAILABLE as often as by default', gateway(retries), grpc, '/grpc-status/14', 2],
  ['gRPC UNAVAILABLE on the direct way', direct(retries), grpc, '/grpc-status/14', 2],
  ['no other status of gRPC', gateway(retries), grpc, '/grpc-status/13', 0],
  ['no answer 503', gateway(retries), {}, '/status/503', 0],
  ['a status code of the mesh’s policy', gateway(retriesOfMesh), {}, '/status/503', 3],
  ['no other status code', gateway(retriesOfMesh), {}, '/status/500', 0],
  ['nothing that was answered, without a policy', gateway(), grpc, '/grpc-status/14', 0],
])('a first call repeats %s, and shows the server none of its headers', async (...row) => {
  const [what, answer, headers, path, repeated] = row;
  companion.answer = () => answer;
  const host = `${what.replaceAll(/[^a-z]/gi, '')}${answer['x-lazyscope-strategy']}.app`;
  const way = answer['x-lazyscope-strategy'] === 'direct' ? 'direct' : 'egress';
  const counter = `cluster.lazyscope-${way}.upstream_rq_retry`;
  const count = async () => (await envoy.stats(`^${counter}$`)).get(counter) ?? 0;
  const before = await count();
  const { seen } = await call(envoy.port('allow'), { host, ...headers }, { method: 'POST', path });
  expect(seen?.server).toBe(way);
  expect((await count()) - before).toBe(repeated);
  const leaked = Object.keys(seen?.headers ?? {}).filter((name) => /retr|per-try/.test(name));
  expect(leaked).toEqual([]);
});

test('the identities of one destination do not apply to the next on the same connection', async () => {
  companion.answer = ({ authority }) =>
    gateway({ 'x-lazyscope-identities': authority === 'first.app' ? evil : good });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const first = await call(envoy.port('allow'), { host: 'first.app' }, { agent });
  const second = await call(envoy.port('allow'), { host: 'second.app' }, { agent });
  agent.destroy();
  expect([first.status, second.status]).toEqual([503, 200]);
});

test('headers forged by the app neither steer nor arrive', async () => {
  const forged = {
    'x-lazyscope-cluster': 'lazyscope-egress',
    'X-Lazyscope-Destination': '10.0.0.1:1',
    'x-lazyscope-anything': 'x',
  };
  companion.answer = () => passthrough;
  const known = await call(envoy.port('allow'), { host: 'reviews:9080', ...forged });
  const unknown = await call(envoy.port('allow'), { host: 'forged.app', ...forged });
  const steered = await call(envoy.port('allow'), { host: 'gateway.app:9080', ...forged });
  expect([known, unknown, steered].map((r) => r.seen?.server)).toEqual([
    'reviews',
    'outside',
    'egress',
  ]);
  for (const { seen } of [known, unknown, steered]) {
    expect(Object.keys(seen?.headers ?? {}).filter((h) => h.startsWith('x-lazyscope'))).toEqual([]);
  }
});

test('reports count the called destinations, and Envoy counts no failure of the filter', async () => {
  await expect
    .poll(() => companion.reports.flatMap((r) => r.entries), { timeout: 60_000 })
    .toContainEqual({ destination: { kind: 'cluster', cluster: knownCluster }, count: 3n });
  const stats = await envoy.stats('wasm');
  for (const [name, value] of stats) {
    if (/fail|error|reload/.test(name)) expect([name, value]).toEqual([name, 0]);
  }
  expect(companion.reports.at(-1)?.totals.errors).toBe(0n);
});
