import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import { type AddressInfo, createConnection } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { log, podObject, podOf, testMetrics } from '../../../../box/played/fixtures.ts';
import { entryOf, framed, logMessage } from '../../../../box/played/log-messages.ts';
import { accessLogBounds, createAccessLogs } from '../../../../companion/node/access-log.ts';
import { logPaths, startAccessLogServer } from '../../../../companion/node/access-log-server.ts';
import { createAggregate } from '../../../../companion/node/aggregate.ts';
import { createPods } from '../../../../companion/node/pods.ts';

/** The port itself, called from addresses that stand for pods. */

const reviews = 'outbound|9080||reviews.shop.svc.cluster.local';
const cart = podOf('cart', { addresses: ['127.0.0.11'] });
const hostile = podOf('hostile', { addresses: ['127.0.0.12'] });
const stranger = '127.0.0.14';

const { metrics, value } = testMetrics();
const now = () => performance.now();
const aggregate = createAggregate({ metrics, now, sourceOf: () => 'access-log' });
let server: Awaited<ReturnType<typeof startAccessLogServer>>;
const sessions: ClientHttp2Session[] = [];

beforeAll(async () => {
  const find = (from: string) => {
    const pod = [cart, hostile].find(({ addresses }) => addresses.includes(from));
    return pod ? { pod } : ({ refused: 'unknown-source' } as const);
  };
  const logs = createAccessLogs({
    ...{ aggregate, metrics, now, onReport: () => undefined },
    pods: { find, isServed: () => true },
    bounds: { ...accessLogBounds, calls: { perSecond: 1e6, burst: 1e6 } },
  });
  server = await startAccessLogServer({
    ...{ port: 0, host: '127.0.0.1', logs, metrics, log },
    serves: (address) => 'pod' in find(address),
  });
});

afterAll(async () => {
  for (const session of sessions) session.destroy();
  await server.close();
});

function sessionFrom(localAddress: string): ClientHttp2Session {
  const { port } = server.server.address() as AddressInfo;
  const session = connect('http://127.0.0.1', {
    createConnection: () => createConnection({ host: '127.0.0.1', port, localAddress }),
  });
  session.on('error', () => undefined);
  sessions.push(session);
  return session;
}

function send(session: ClientHttp2Session, path: string, body?: Buffer): ClientHttp2Stream {
  const stream = session.request({
    ...{ ':method': 'POST', ':path': path, te: 'trailers' },
    'content-type': 'application/grpc',
  });
  stream.on('error', () => undefined);
  if (body) stream.write(body);
  return stream;
}

/** The status of gRPC that ends a stream. */
async function statusOf(stream: ClientHttp2Stream): Promise<unknown> {
  let status: unknown;
  stream.on('response', (headers) => {
    status ??= headers['grpc-status'];
  });
  stream.on('trailers', (headers) => {
    status ??= headers['grpc-status'];
  });
  stream.resume();
  await once(stream, 'close');
  return status;
}

const countOf = (uid: string) => {
  const proxy = aggregate.get(uid);
  return proxy ? aggregate.changesSince(proxy, 0)[0]?.count : undefined;
};

test('a stream of entries is learned, and ends well when the proxy ends it', async () => {
  const stream = send(sessionFrom('127.0.0.11'), logPaths.stream);
  stream.write(framed(logMessage('http', [entryOf(reviews), entryOf(reviews)])));
  await expect.poll(() => countOf(cart.uid)).toBe(2);
  const status = statusOf(stream);
  stream.end();
  expect(await status).toBe('0');
});

test('a health check is answered, and is a sign of life', async () => {
  const before = aggregate.get(cart.uid)?.log?.heardAt ?? 0;
  const stream = send(sessionFrom('127.0.0.11'), logPaths.check, Buffer.from([0, 0, 0, 0, 0]));
  stream.end();
  const chunks: Buffer[] = [];
  stream.on('data', (chunk) => chunks.push(chunk));
  expect(await statusOf(stream)).toBe('0');
  expect(Buffer.concat(chunks)).toEqual(Buffer.from([0, 0, 0, 0, 2, 8, 1]));
  expect(aggregate.get(cart.uid)?.log?.heardAt).toBeGreaterThan(before);
});

test('another address is refused, whatever the log says of itself', async () => {
  const session = sessionFrom(stranger);
  const message = framed(logMessage('http', [entryOf(reviews)]));
  expect(await statusOf(send(session, logPaths.stream, message))).toBe('7');
  expect(await statusOf(send(session, logPaths.check))).toBe('7');
  expect(await value('node_refused_total', { path: 'access-log' })).toBe(2);
});

test('another call is refused', async () => {
  expect(await statusOf(send(sessionFrom('127.0.0.11'), '/lazyscope.v1.Controller/Connect'))).toBe(
    '12',
  );
});

test('bytes that are no HTTP/2 end their connection and no other', async () => {
  const { port } = server.server.address() as AddressInfo;
  const socket = createConnection({ host: '127.0.0.1', port, localAddress: '127.0.0.12' });
  socket.on('error', () => undefined);
  socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  socket.resume();
  await once(socket, 'close');
  const before = countOf(cart.uid) ?? 0;
  send(sessionFrom('127.0.0.11'), logPaths.stream, framed(logMessage('http', [entryOf(reviews)])));
  await expect.poll(() => countOf(cart.uid)).toBe(before + 1);
});

test('a flood of streams of a pod takes the place of no other pod', async () => {
  const flood: ClientHttp2Session[] = [];
  const opened = 600;
  const perSession = 50;
  const closed: Promise<unknown>[] = [];
  // A message that is announced and never sent.
  const announced = Buffer.from([0, 0, 1, 255, 255, 1, 2, 3]);
  for (let i = 0; i < opened / perSession; i++) {
    const session = sessionFrom('127.0.0.12');
    flood.push(session);
    for (let j = 0; j < perSession; j++) {
      const stream = send(session, logPaths.stream, announced);
      stream.resume();
      closed.push(once(stream, 'close').catch(() => undefined));
    }
  }
  await expect
    .poll(async () => value('node_log_dropped_total', { bound: 'streams' }))
    .toBeGreaterThan(0);
  expect(await value('node_log_streams')).toBeLessThanOrEqual(accessLogBounds.streams.perKey + 3);
  const before = countOf(cart.uid) ?? 0;
  send(sessionFrom('127.0.0.11'), logPaths.stream, framed(logMessage('http', [entryOf(reviews)])));
  await expect.poll(() => countOf(cart.uid)).toBe(before + 1);
  for (const session of flood) session.destroy();
  await Promise.all(closed);
  await expect.poll(async () => value('node_log_streams')).toBeLessThanOrEqual(4);
});

test('a message above the bound is skipped, and the stream goes on', async () => {
  const stream = send(sessionFrom('127.0.0.11'), logPaths.stream);
  const head = Buffer.from([0, 0, 16, 0, 0]);
  stream.write(Buffer.concat([head, Buffer.alloc(16 * 65_536)]));
  const before = countOf(cart.uid) ?? 0;
  stream.write(framed(logMessage('http', [entryOf(reviews)])));
  await expect.poll(() => countOf(cart.uid)).toBe(before + 1);
  expect(await value('node_log_dropped_total', { bound: 'message' })).toBe(1);
});

test.each([
  ['IPv4', '127.0.0.11', '127.0.0.1'],
  ['IPv6', '::1', '::1'],
])('a port that is open for both families knows a pod by its %s address', async (_, from, to) => {
  const ignore = () => undefined;
  const pods = createPods({ metrics, onGone: ignore, onMode: ignore });
  const labels = { 'lazyscope.io/mode': 'observe', 'lazyscope.io/source': 'access-log' };
  pods.upsertNamespace({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } });
  pods.upsertPod(podObject('both', from));
  const logs = createAccessLogs({ aggregate, metrics, now, onReport: ignore, pods });
  const serves = (address: string) => 'pod' in pods.find(address);
  const both = await startAccessLogServer({ port: 0, host: '::', logs, serves, metrics, log });
  // The kernel shows an IPv4 address to such a port as `::ffff:127.0.0.11`.
  const seen = once(both.server, 'connection').then(([socket]) => socket.remoteAddress);
  const { port } = both.server.address() as AddressInfo;
  const session = connect('http://localhost', {
    createConnection: () => createConnection({ host: to, port, localAddress: from }),
  });
  const check = send(session, logPaths.check, Buffer.from([0, 0, 0, 0, 0]));
  check.end();
  expect(await statusOf(check)).toBe('0');
  expect(await seen).toBe(to === from ? from : `::ffff:${from}`);
  expect(aggregate.get('uid-both')?.log?.heardAt).toBeGreaterThan(0);
  session.destroy();
  await both.close();
});
