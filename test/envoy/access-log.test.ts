import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bootstrap, cluster } from '../../box/envoy/bootstrap.ts';
import { type Envoy, startEnvoy } from '../../box/envoy/envoy.ts';
import { log, podOf, testMetrics } from '../../box/played/fixtures.ts';
import { createAccessLogs } from '../../companion/node/access-log.ts';
import { startAccessLogServer } from '../../companion/node/access-log-server.ts';
import { createAggregate } from '../../companion/node/aggregate.ts';
import { parseLogDropped } from '../../companion/node/proxy-stats.ts';
import { call } from './client.ts';
import { logCluster, loggedHttp, loggedTcp } from './logged-proxy.ts';
import { startHttp, startPassage, startTcp, type Upstream } from './upstreams.ts';

const reviews = 'outbound|9080||reviews.app.svc.cluster.local';
const moved = 'outbound|9080||moved.app.svc.cluster.local';
const empty = 'outbound|9080||empty.app.svc.cluster.local';
const refusing = 'outbound|9080||refusing.app.svc.cluster.local';
const flaky = 'outbound|9080||flaky.app.svc.cluster.local';
const db = 'outbound|3306||db.app.svc.cluster.local';
const pod = podOf('client', { addresses: ['127.0.0.1'] });

const { metrics, value } = testMetrics();
const now = () => performance.now();
const aggregate = createAggregate({ metrics, now, sourceOf: () => 'access-log' });
let upstreams: Upstream[] = [];
let passage: Awaited<ReturnType<typeof startPassage>>;
let server: Awaited<ReturnType<typeof startAccessLogServer>>;
let envoy: Envoy;
const sockets = new Set<Socket>();

const to = (prefix: string, name: string, more = {}) => ({
  match: { prefix },
  route: { cluster: name, ...more },
});

beforeAll(async () => {
  upstreams = await Promise.all([startHttp('reviews'), startTcp('db', false), startLasting()]);
  const [http = 0, tcp = 0, lasting = 0] = upstreams.map(({ port }) => port);
  passage = await startPassage(http);
  const logs = createAccessLogs({
    ...{ aggregate, metrics, now, onReport: () => undefined },
    pods: {
      find: (from) => (from === '127.0.0.1' ? { pod } : { refused: 'unknown-source' }),
      isServed: () => true,
    },
  });
  server = await startAccessLogServer({
    ...{ port: 0, host: '127.0.0.1', logs, serves: () => true, metrics, log },
  });
  server.server.on('connection', (socket) => sockets.add(socket));
  const als = (server.server.address() as AddressInfo).port;
  const noHosts = { name: empty, type: 'STATIC', load_assignment: { cluster_name: empty } };
  const redirects = { max_internal_redirects: 1, redirect_response_codes: [307] };
  envoy = await startEnvoy(
    bootstrap(
      [
        loggedHttp('http', [
          to('/empty', empty),
          to('/refusing', refusing),
          to('/nowhere', 'outbound|80||gone.app.svc.cluster.local'),
          to('/outside', 'PassthroughCluster'),
          to('/flaky', flaky, { retry_policy: { retry_on: 'reset', num_retries: 3 } }),
          to('/status/307', moved, { internal_redirect_policy: redirects }),
          to('/lasting', 'outbound|9090||lasting.app.svc.cluster.local', { timeout: '0s' }),
          { match: { prefix: '/' }, route: { cluster: reviews } },
        ]),
        loggedTcp('tcp', db),
        loggedTcp('passing', 'PassthroughCluster'),
        loggedTcp('lasting', 'outbound|9090||lasting.app.svc.cluster.local'),
      ],
      [
        cluster(reviews, http),
        cluster(moved, http),
        cluster(refusing, 1),
        cluster(flaky, passage.port),
        cluster(db, tcp),
        cluster('outbound|9090||lasting.app.svc.cluster.local', lasting),
        cluster('PassthroughCluster', http),
        noHosts,
        logCluster(als),
      ],
    ),
    2,
  );
});

afterAll(async () => {
  await envoy?.stop();
  await server?.close();
  await Promise.all([...upstreams, passage].map((each) => each?.stop()));
});

/** A server that answers at once and then holds the connection open. */
async function startLasting(): Promise<Upstream> {
  const lasting = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
  });
  lasting.listen(0, '127.0.0.1');
  await once(lasting, 'listening');
  return {
    port: (lasting.address() as AddressInfo).port,
    stop: async () => void lasting.close(),
  };
}

/** Ends every connection of the companion, as its restart does. */
function disconnect(): void {
  for (const socket of sockets) socket.destroy();
}

/** What the log says so far, as `destination -> calls`. */
function used(): Record<string, number> {
  const proxy = aggregate.get(pod.uid);
  const edges = proxy ? aggregate.changesSince(proxy, 0) : [];
  return Object.fromEntries(
    edges.map(({ cluster: name, unknown, count = 0 }) => [
      name ?? `${unknown?.tcp ? 'tcp' : `http ${unknown?.authority}`}`,
      count,
    ]),
  );
}

const seconds = (name: string) => {
  const proxy = aggregate.get(pod.uid);
  const edges = proxy ? aggregate.changesSince(proxy, 0) : [];
  return edges.find((edge) => edge.cluster === name)?.secondsSinceSeen;
};

const get = (path: string, host = 'reviews:9080') => call(envoy.port('http'), { host }, { path });

test('a proxy that makes no calls is heard by its health checks, and has no stream', async () => {
  await expect.poll(() => aggregate.get(pod.uid)?.log?.heardAt).toBeGreaterThan(0);
  expect(aggregate.get(pod.uid)?.log?.streams).toBe(0);
  const before = aggregate.get(pod.uid)?.log?.heardAt ?? 0;
  await expect.poll(() => aggregate.get(pod.uid)?.log?.heardAt).toBeGreaterThan(before);
  const { heardAt, unbrokenSince } = aggregate.lifeOf(aggregate.get(pod.uid) as never);
  expect(unbrokenSince).toBeLessThan(heardAt ?? 0);
});

test('requests are counted by the cluster that the route chose', async () => {
  for (let i = 0; i < 3; i++) expect(await get('/')).toMatchObject({ status: 200 });
  await expect.poll(used).toMatchObject({ [reviews]: 3 });
});

test('a failed request is counted by its cluster, if a host was chosen', async () => {
  expect((await get('/refusing')).status).toBe(503);
  await expect.poll(used).toMatchObject({ [refusing]: 1 });
});

test('a request that Envoy retried is one call', async () => {
  passage.resets = 2;
  expect((await get('/flaky')).status).toBe(200);
  await expect.poll(used).toMatchObject({ [flaky]: 1 });
  expect([...(await envoy.stats('flaky.*upstream_rq_retry$')).values()]).toEqual([2]);
});

test('a redirect that Envoy follows is a call of both destinations', async () => {
  const before = used()[reviews] ?? 0;
  await call(envoy.port('http'), { host: 'reviews:9080' }, { path: '/status/307' });
  await expect.poll(used).toMatchObject({ [moved]: 1, [reviews]: before + 1 });
});

test.each([
  ['/empty', 'no host of its cluster is there', 503, 'empty:9080'],
  ['/nowhere', 'its cluster is gone', 503, 'gone:80'],
  ['/outside', 'it passes through', 200, 'orders.shop:8080'],
])(
  'a request to %s is known by its authority and address, because %s',
  async (path, _, status, host) => {
    expect((await get(path, host)).status).toBe(status);
    await expect.poll(used).toMatchObject({ [`http ${host}`]: 1 });
    const proxy = aggregate.get(pod.uid);
    const found = [...(proxy?.destinations.values() ?? [])].find(
      ({ edge }) => edge.unknown?.authority === host,
    );
    expect(found?.edge.unknown?.destination).toBe(`127.0.0.1:${envoy.port('http')}`);
  },
);

test('a connection is a use when it is made, and a call when it ends', async () => {
  const socket = connect(envoy.port('tcp'), '127.0.0.1');
  await once(socket, 'connect');
  await expect.poll(used).toMatchObject({ [db]: 0 });
  socket.end('hello');
  socket.resume();
  await expect.poll(used).toMatchObject({ [db]: 1 });
});

test('a connection that passes through is known by its address', async () => {
  const socket = connect(envoy.port('passing'), '127.0.0.1');
  socket.end('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
  socket.resume();
  await expect.poll(used).toMatchObject({ tcp: 1 });
});

test.each([
  ['connection', 'lasting'],
  ['request', 'http'],
])('a %s that goes on without a byte is in use', async (kind, listener) => {
  const lasting = 'outbound|9090||lasting.app.svc.cluster.local';
  const socket = connect(envoy.port(listener), '127.0.0.1');
  socket.resume();
  if (kind === 'request') socket.write('GET /lasting HTTP/1.1\r\nhost: a\r\n\r\n');
  await expect.poll(() => seconds(lasting)).toBe(0);
  const version = aggregate.get(pod.uid)?.version ?? 0;
  await expect.poll(() => aggregate.get(pod.uid)?.version).toBeGreaterThan(version + 2);
  expect(seconds(lasting)).toBeLessThan(5);
  socket.destroy();
});

test('the statistics of Envoy have what it dropped, under the name that is read', async () => {
  const stats = await envoy.admin('/stats/prometheus?filter=grpc_access_log');
  expect(parseLogDropped(stats)).toBe(0);
  const [written = 0] = (await envoy.stats('grpc_access_log.logs_written$')).values();
  expect(written).toBeGreaterThan(10);
  await expect
    .poll(async () => value('node_log_entries_total', { use: 'used' }))
    .toBeGreaterThanOrEqual(written);
});

test('when the streams end, the log is broken; Envoy opens new ones by itself', async () => {
  const { log: before } = aggregate.get(pod.uid) ?? {};
  const since = before?.unbrokenSince ?? 0;
  expect(before?.streams).toBeGreaterThan(0);
  disconnect();
  await expect.poll(() => aggregate.get(pod.uid)?.log?.unbrokenSince).toBeGreaterThan(since);
  const count = used()[reviews] ?? 0;
  await expect
    .poll(async () => {
      await get('/');
      return used()[reviews];
    })
    .toBeGreaterThan(count);
  expect(aggregate.get(pod.uid)?.log?.streams).toBeGreaterThan(0);
});
