import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import {
  bootstrap,
  httpFilter,
  httpListener,
  type Json,
  knownCluster,
  sidecarClusters,
} from '../../box/envoy/bootstrap.ts';
import {
  type Companion,
  direct,
  gateway,
  hold,
  passthrough,
  startCompanion,
} from '../../box/envoy/companion.ts';
import { type Envoy, startEnvoy } from '../../box/envoy/envoy.ts';
import { routeConfig } from '../../box/envoy/routes.ts';
import { call } from './client.ts';
import { startHttp, type Upstream } from './upstreams.ts';

// The moment in which istiod has sent a host's routes but not its clusters, or has removed its
// clusters but not its routes. Without the filter Envoy answers 503 in this moment.

let companion: Companion;
let upstreams: Upstream[] = [];
let envoy: Envoy;

const gone = 'outbound|9080||ratings.app.svc.cluster.local';
/** One destination for each test, because the filter remembers what it learned of a destination. */
const hosts = Object.fromEntries(
  ['upgrade', 'grpc', 'large', 'chunked', 'held', 'direct', 'unanswered', 'passed', 'strange'].map(
    (name) => [`${name}.app`, gone],
  ),
);

/**
 * Adds the state of `passed.app` before it was known: its calls took the route of unknown
 * destinations.
 */
function withUnknownPath(config: Json): Json {
  const virtualHosts = config.virtual_hosts as { name: string; routes: Json[] }[];
  const passed = virtualHosts.find(({ name }) => name === 'passed.app');
  const route = { cluster: 'PassthroughCluster' };
  passed?.routes.splice(-2, 0, { match: { prefix: '/unknown' }, route });
  return config;
}

beforeAll(async () => {
  companion = await startCompanion();
  upstreams = await Promise.all(
    ['reviews', 'outside', 'egress', 'direct'].map((name) => startHttp(name)),
  );
  const ports = upstreams.map((u) => u.port);
  const routes = {
    route_config: withUnknownPath(routeConfig({ reviews: knownCluster, ...hosts })),
  };
  envoy = await startEnvoy(
    bootstrap(
      [httpListener('http', routes, httpFilter({ mode: 'http' }))],
      sidecarClusters(ports, companion.port),
    ),
  );
  await call(envoy.port('http'), { host: 'reviews' });
  // From here on the filter counts the companion as alive.
  await vi.waitUntil(() => companion.reports.length > 0, { timeout: 60_000 });
});

afterAll(async () => {
  await envoy?.stop();
  await Promise.all(upstreams.map((u) => u.stop()));
  await companion?.stop();
});

beforeEach(() => {
  companion.questions.length = 0;
  companion.held.length = 0;
  companion.answer = () => gateway();
});

test.each([
  ['grpc', { 'content-type': 'application/grpc', 'content-length': '1' }, 'x'],
  ['large', { 'content-length': '70000' }, 'x'.repeat(70_000)],
  ['chunked', { 'transfer-encoding': 'chunked' }, 'x'],
])('%s: the answer steers a request that cannot be held', async (name, headers, body) => {
  companion.answer = () => hold();
  const options = { method: 'POST', body };
  const reply = await call(envoy.port('http'), { host: `${name}.app`, ...headers }, options);
  expect([reply.status, reply.seen?.server]).toEqual([200, 'egress']);
  expect(reply.seen?.body).toBe(body);
  expect(Object.keys(reply.seen?.headers ?? {}).join()).not.toMatch(/lazyscope/);
  expect(companion.held).toEqual([]);
});

test('the answer steers a request for an upgrade', async () => {
  const sent = 'cluster.lazyscope-egress.upstream_rq_total';
  const before = (await envoy.stats(sent)).get(sent) ?? 0;
  const headers = { host: 'upgrade.app', connection: 'upgrade', upgrade: 'websocket' };
  expect((await call(envoy.port('http'), headers)).status).toBe(200);
  expect((await envoy.stats(sent)).get(sent)).toBe(before + 1);
});

test('direct: the answer steers a request that cannot be held', async () => {
  companion.answer = () => direct();
  const headers = { host: 'direct.app', 'content-type': 'application/grpc' };
  const { seen } = await call(envoy.port('http'), headers, { method: 'POST', body: 'x' });
  expect(seen?.server).toBe('direct');
});

test('calls that passed through before continue to pass through, and no others do', async () => {
  companion.answer = () => passthrough;
  const before = await call(envoy.port('http'), { host: 'passed.app' }, { path: '/unknown' });
  expect(before.seen?.server).toBe('outside');
  const stream = { 'content-type': 'application/grpc' };
  const options = { method: 'POST', body: 'x' };
  const passed = await call(envoy.port('http'), { host: 'passed.app', ...stream }, options);
  expect([passed.status, passed.seen?.server]).toEqual([200, 'outside']);
  const strange = await call(envoy.port('http'), { host: 'strange.app', ...stream }, options);
  expect(strange.seen).toBeUndefined();
});

test('a request that can be held is redirected until its deadline, and then gets Envoy’s own answer', async () => {
  companion.hold = () => sleep(50);
  const { status } = await call(envoy.port('http'), { host: 'held.app' });
  expect(status).toBe(503);
  expect(companion.held.length).toBeGreaterThan(1);
  expect(companion.questions).toEqual([]);
});

test('without an answer a stream gets Envoy’s own answer', async () => {
  companion.answer = () => undefined;
  const headers = { host: 'unanswered.app', 'content-type': 'application/grpc' };
  const { seen } = await call(envoy.port('http'), headers, { method: 'POST', body: 'x' });
  expect(seen).toBeUndefined();
  expect(companion.questions).toHaveLength(1);
});

test('the filter neither asks about a route that answers by itself nor redirects its requests', async () => {
  const { status } = await call(envoy.port('http'), { host: 'teapot' });
  const headers = { host: 'teapot', 'content-type': 'application/json' };
  const streamed = await call(envoy.port('http'), headers, { method: 'POST', body: 'x' });
  expect([status, streamed.status]).toEqual([418, 418]);
  expect([companion.questions, companion.held]).toEqual([[], []]);
});

test('a request that no rule of its known host matches gets Envoy’s 404', async () => {
  const { status } = await call(envoy.port('http'), { host: 'ruled' });
  const headers = { host: 'ruled', 'content-type': 'application/json' };
  const streamed = await call(envoy.port('http'), headers, { method: 'POST', body: 'x' });
  expect([status, streamed.status]).toEqual([404, 404]);
  expect([companion.questions, companion.held]).toEqual([[], []]);
});
