import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type Certificate,
  type FakeController,
  makeCertificate,
  startFakeController,
} from '../../../../box/played/fake-controller.ts';
import { log } from '../../../../box/played/fixtures.ts';
import { clusterEntry, reportBody } from '../../../../box/played/report-body.ts';
import { connectionBounds } from '../../../../companion/node/connections.ts';
import { ingressBounds } from '../../../../companion/node/ingress.ts';
import { addresses, eventually, type Reply, runTestNode, type TestNode } from './running-node.ts';

// These tests use real sockets and timers and may run on a busy machine.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const destination = '10.96.0.7:9080';
const reviews = 'outbound|9080||reviews.shop.svc.cluster.local';

let certificate: Certificate;
let controller: FakeController;
let node: TestNode;

beforeAll(async () => {
  certificate = await makeCertificate();
});
afterAll(() => certificate.remove());

beforeEach(async () => {
  controller = await startFakeController(certificate);
  node = await runTestNode(certificate, controller.port);
  await eventually(async () => (await node.metric('controller_streams')) === 1);
});
afterEach(async () => {
  expect(await node.stop()).toBe(true);
  await controller.stop();
});

function ask(from: string, authority = 'reviews:9080'): Promise<Reply> {
  return node.call({
    from,
    path: '/v1/resolve',
    headers: {
      host: 'lazyscope-node',
      'x-lazyscope-call': 'http',
      'x-lazyscope-authority': authority,
      'x-lazyscope-destination': destination,
    },
  });
}

function report(from: string, body: Buffer, type = 'application/octet-stream'): Promise<Reply> {
  return node.call({
    from,
    method: 'POST',
    path: '/v1/report',
    headers: { host: 'lazyscope-node', 'content-type': type, 'content-length': body.length },
    body,
  });
}

describe('a question', () => {
  it('reaches the controller under the name of its pod, and the answer reaches the filter', async () => {
    controller.answer = () => ({ strategy: 'hold', otherwise: 'direct', ttlSeconds: 7 });
    const { status, headers } = await ask(addresses.cart);
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'x-lazyscope-strategy': 'hold',
      'x-lazyscope-otherwise': 'direct',
      'x-lazyscope-sni': 'outbound_.9080_._.reviews.shop.svc.cluster.local',
      'x-lazyscope-identities': 'spiffe://cluster.local/ns/shop/sa/reviews',
      'x-lazyscope-ttl': '7',
      'content-length': '0',
    });
    expect(controller.questions()).toMatchObject([
      {
        namespace: 'shop',
        pod: 'cart',
        podUid: 'uid-cart',
        call: { tcp: false, authority: 'reviews:9080', destination },
      },
    ]);
    expect(controller.tokens).toEqual(['Bearer token-1']);
  });

  it('is answered from the cache the next time', async () => {
    await ask(addresses.cart);
    expect((await ask(addresses.cart)).status).toBe(200);
    expect(controller.questions()).toHaveLength(1);
  });

  it('gets the last known answer, or 503, when no controller is there', async () => {
    controller.answer = () => ({ ttlSeconds: 1 });
    await ask(addresses.cart);
    await controller.stop();
    await eventually(async () => (await node.metric('controller_streams')) === 0);
    await new Promise((resolve) => setTimeout(resolve, 1_050));
    expect((await ask(addresses.cart)).headers['x-lazyscope-ttl']).toBe('1');
    expect(await node.metric('questions_total', { source: 'stale' })).toBe(1);
    expect((await ask(addresses.cart, 'ratings:9080')).status).toBe(503);
  });

  it('gets 503 when the controller sends no answer, or no valid one', async () => {
    controller.answer = () => undefined;
    expect((await ask(addresses.cart)).status).toBe(503);
    controller.answer = () => ({ sni: 'evil\r\nx-injected: 1' });
    expect((await ask(addresses.cart)).status).toBe(503);
    controller.answer = () => ({ strategy: 'teleport' });
    expect((await ask(addresses.cart)).status).toBe(503);
  });
});

describe('a report', () => {
  it('reaches the controller whole the first time, and then only the changes', async () => {
    const both = [clusterEntry(reviews, 3n), clusterEntry('outbound|80||ratings', 1n)];
    expect((await report(addresses.cart, reportBody(7n, 1, both))).status).toBe(204);
    const [first] = await eventually(() => {
      const reports = controller.reports('cart');
      return reports.length > 0 && reports;
    });
    expect(first).toMatchObject({ filterVersion: '0.1.0', podUid: 'uid-cart' });
    expect(first?.edges.map(({ cluster }) => cluster)).toEqual([reviews, 'outbound|80||ratings']);
    const more = [
      clusterEntry(reviews, 4n),
      { destination: { kind: 'tcp' as const, address: '10.0.0.9:5432' }, count: 1n },
    ];
    await report(addresses.cart, reportBody(7n, 2, more));
    const second = await eventually(() => controller.reports('cart')[1]);
    expect(second.edges).toMatchObject([
      { cluster: reviews },
      { unknown: { tcp: true, authority: '', destination: '10.0.0.9:5432' } },
    ]);
  });

  it('is answered 409 when a restarted companion lost counts that it had acknowledged', async () => {
    expect((await report(addresses.cart, reportBody(7n, 5, []))).status).toBe(409);
    expect((await report(addresses.cart, reportBody(7n, 6, []))).status).toBe(204);
  });

  it('is sent whole again when the controller forgot the pod, or was restarted', async () => {
    await report(addresses.cart, reportBody(7n, 1, [clusterEntry(reviews, 3n)]));
    await eventually(() => controller.reports('cart').length === 1);
    controller.forget('shop', 'cart');
    const again = await eventually(() => controller.reports('cart')[1]);
    expect(again).toMatchObject({ edges: [{ cluster: reviews }] });
    await controller.stop();
    controller = await startFakeController(certificate, `127.0.0.1:${controller.port}`);
    const anew = await eventually(() => controller.reports('cart')[0]);
    expect(anew).toMatchObject({ edges: [{ cluster: reviews }] });
    expect(controller.received[0]).toMatchObject({ hello: { node: 'worker-1' } });
  });

  it('is forgotten with its pod, and the controller is informed', async () => {
    await report(addresses.cart, reportBody(7n, 1, [clusterEntry(reviews, 3n)]));
    expect(node.debug.get('proxies')?.()).toMatchObject([{ pod: 'cart', destinations: 1 }]);
    node.watches.get('pods')?.remove({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'cart', namespace: 'shop', uid: 'uid-cart' },
    });
    const gone = await eventually(() => controller.received.find((message) => message.gone));
    expect(gone).toMatchObject({ gone: { namespace: 'shop', pod: 'cart', podUid: 'uid-cart' } });
    expect(node.debug.get('proxies')?.()).toEqual([]);
  });
});

const longPath = `/${'long/'.repeat(2000)}`;

describe('a held request', () => {
  const live = () => ({
    strategy: 'hold',
    otherwise: 'gateway',
    millisecondsSinceScopeWritten: 5_000,
  });

  it.each([
    ['GET', '/'],
    ['GET', '/v1/report'],
    ['GET', '/v1/resolve'],
    ['POST', '/v1/report'],
    ['DELETE', '//double//slashes/%zz?broken=%'],
    ['OPTIONS', '/a;b=c/./../d?e=f&g=%00#'],
    ['PROPFIND', '/dav'],
    ['PATCH', longPath],
    ['PUT', '/caf%C3%A9'],
  ])('by %s is sent back to exactly where it was going: %#', async (method, path) => {
    controller.answer = live;
    const { status, headers } = await node.call({
      from: addresses.cart,
      method,
      path,
      headers: { host: 'reviews:9080', 'x-lazyscope-destination': destination },
    });
    expect(status).toBe(307);
    expect(headers.location).toBe(`http://reviews:9080${path}`);
    expect(controller.questions()).toMatchObject([
      { pod: 'cart', call: { authority: 'reviews:9080', destination } },
    ]);
  });

  it.each([
    ['a method that Node does not know', 'BREW /pot', '400', 'HPE_INVALID_METHOD'],
    ['a path with bytes above ASCII', 'GET /caf\u00e9', '400', 'HPE_INVALID_URL'],
    ['larger headers', `GET /${'x'.repeat(100_000)}`, '431', 'HPE_HEADER_OVERFLOW'],
  ])('with %s is refused and counted', async (_, line, status, reason) => {
    const socket = connect({ host: '127.0.0.1', port: node.port, localAddress: addresses.cart });
    socket.write(`${line} HTTP/1.1\r\nhost: reviews\r\n\r\n`, 'latin1');
    const reply = Buffer.concat(await socket.toArray()).toString('latin1');
    expect(reply).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(await node.metric('refused_total', { path: 'unparsed', reason })).toBe(1);
  });

  it.each(['application/json', ';;;', 'application/octet-stream', 'multipart/form-data', ''])(
    'may have a body of content type "%s" up to the size that filters hold',
    async (type) => {
      controller.answer = live;
      const { status } = await node.call({
        from: addresses.cart,
        method: 'POST',
        path: '/orders',
        headers: {
          host: 'reviews',
          'x-lazyscope-destination': destination,
          ...(type && { 'content-type': type }),
        },
        body: Buffer.alloc(65_536, '{'),
      });
      expect(status).toBe(307);
      expect(await node.metric('refused_total')).toBe(0);
    },
  );

  it('may have the largest headers that Envoy takes by default', async () => {
    controller.answer = live;
    const { status } = await node.call({
      from: addresses.cart,
      headers: {
        host: 'reviews',
        'x-lazyscope-destination': destination,
        cookie: 'c'.repeat(60 * 1024),
      },
    });
    expect(status).toBe(307);
  });

  it('is sent back and counted if its body is too large', async () => {
    controller.answer = live;
    const { status, headers } = await node.call({
      from: addresses.cart,
      method: 'POST',
      headers: { host: 'reviews', 'x-lazyscope-destination': destination },
      body: Buffer.alloc(70_000),
    });
    expect({ status, connection: headers.connection }).toEqual({
      status: 307,
      connection: 'close',
    });
    expect(await node.metric('refused_total', { path: 'hold', reason: 'too-large' })).toBe(1);
  });

  it('is sent back at once if it names no destination', async () => {
    const { status, headers } = await node.call({ from: addresses.cart, headers: { host: 'a' } });
    expect({ status, location: headers.location }).toEqual({ status: 307, location: 'http://a/' });
    expect(await node.metric('refused_total', { path: 'hold', reason: 'malformed' })).toBe(1);
  });

  it('is no longer held when its client is gone', async () => {
    controller.answer = () => ({ ...live(), millisecondsSinceScopeWritten: 0 });
    const client = new AbortController();
    const held = node.call({
      from: addresses.cart,
      headers: { host: 'reviews', 'x-lazyscope-destination': destination },
      signal: client.signal,
    });
    await eventually(async () => (await node.metric('held')) === 1);
    client.abort();
    await expect(held).rejects.toThrow();
    await eventually(async () => (await node.metric('held')) === 0);
    expect(await node.metric('holds_total', { outcome: 'cancelled' })).toBe(1);
  });

  it('is released when the process stops', async () => {
    controller.answer = () => ({ ...live(), millisecondsSinceScopeWritten: 0 });
    const held = node.call({
      from: addresses.cart,
      headers: { host: 'reviews', 'x-lazyscope-destination': destination },
    });
    await eventually(async () => (await node.metric('held')) === 1);
    expect(await node.stop()).toBe(true);
    expect((await held).status).toBe(307);
  });
});

describe('a client that is not an enabled pod of this node', () => {
  it.each([
    ['stranger', addresses.stranger, 'unknown-source'],
    ['disabled', addresses.disabled, 'namespace-not-enabled'],
  ])('is refused and counted, and nothing is learned: %s', async (_, from, reason) => {
    const held = { host: 'a', 'x-lazyscope-destination': destination };
    const replies = [
      await ask(from),
      await report(from, reportBody(1n, 1, [clusterEntry(reviews, 1n)])),
      await node.call({ from, headers: held }),
    ];
    // A held request is redirected back to its proxy, because a 403 would reach the app.
    expect(replies.map(({ status }) => status)).toEqual([403, 403, 307]);
    for (const path of ['resolve', 'report', 'hold']) {
      expect(await node.metric('refused_total', { path, reason })).toBe(1);
    }
    expect(controller.questions()).toEqual([]);
    expect(node.debug.get('proxies')?.()).toEqual([]);
  });
});

/** Sends the head of a report, without its body. */
function beginReport(from: string) {
  const socket = connect({ host: '127.0.0.1', port: node.port, localAddress: from });
  const type = 'content-type: application/octet-stream';
  socket.on('error', () => undefined);
  socket.write(`POST /v1/report HTTP/1.1\r\nhost: a\r\n${type}\r\ncontent-length: 60000\r\n\r\n`);
  return socket;
}

describe('a body that never comes', () => {
  it('is not awaited from an unknown sender', async () => {
    const reply = Buffer.concat(await beginReport(addresses.stranger).toArray()).toString();
    expect(reply).toMatch(/^HTTP\/1.1 403 /);
    expect(reply).toMatch(/^connection: close/im);
  });

  it('uses one of the few places of its pod, and of no other pod', async () => {
    const { perKey } = ingressBounds.reports;
    const sockets = Array.from({ length: perKey + 1 }, () => beginReport(addresses.cart));
    await eventually(async () => {
      return (await node.metric('refused_total', { reason: 'too-many-at-once' })) === 1;
    });
    expect((await report(addresses.shipping, reportBody(1n, 1, []))).status).toBe(204);
    for (const socket of sockets) socket.destroy();
    await eventually(async () => {
      const { status } = await report(addresses.cart, reportBody(1n, 1, []));
      return status === 204;
    });
  });
});

describe('a hostile pod', () => {
  it('cannot send more than the maximum of a report', async () => {
    const sent = report(addresses.cart, Buffer.alloc(1024 * 1024));
    // The answer comes before the node has read the body, and the connection may break while the
    // client sends the rest.
    const outcome = await sent.then(
      ({ status }) => status,
      (error) => error.code,
    );
    expect([413, 'EPIPE', 'ECONNRESET']).toContain(outcome);
    expect(await node.metric('refused_total', { path: 'report' })).toBe(1);
  });

  it('gets 400 for garbage and 415 for another content type, both counted', async () => {
    expect((await report(addresses.cart, Buffer.alloc(500, 'x'))).status).toBe(400);
    expect((await report(addresses.cart, Buffer.from('{}'), 'application/json')).status).toBe(415);
    expect((await ask(addresses.cart, 'a'.repeat(513))).status).toBe(400);
    expect(await node.metric('refused_total')).toBe(3);
    expect(node.debug.get('proxies')?.()).toEqual([]);
  });

  it('cannot fill the log', async () => {
    const warn = vi.spyOn(log, 'warn');
    for (let n = 0; n < 40; n++) await report(addresses.cart, Buffer.alloc(50, 'x'));
    const { length } = warn.mock.calls.filter(([, text]) => text === 'unusable report');
    expect(Math.min(9, Math.max(1, length))).toBe(length);
  });

  it('can neither report for another pod nor use the share of others', async () => {
    await report(addresses.cart, reportBody(1n, 1, [clusterEntry('from-cart', 1n)]));
    await report(addresses.shipping, reportBody(1n, 1, [clusterEntry('from-shipping', 1n)]));
    const shipping = await eventually(() => controller.reports('shipping')[0]);
    expect(shipping.edges).toMatchObject([{ cluster: 'from-shipping' }]);
    const statuses = new Set<number>();
    for (let turn = 0; turn < 40 && !statuses.has(429); turn++) {
      const batch = Array.from({ length: 50 }, () => report(addresses.cart, reportBody(2n, 1, [])));
      for (const { status } of await Promise.all(batch)) statuses.add(status);
    }
    expect([...statuses].sort()).toEqual([204, 429]);
    expect((await report(addresses.shipping, reportBody(1n, 2, []))).status).toBe(204);
  });

  it('cannot open more connections than its share, and others still can', async () => {
    const sockets = Array.from({ length: connectionBounds.source + 5 }, () =>
      connect({ host: '127.0.0.1', port: node.port, localAddress: addresses.cart }),
    );
    for (const socket of sockets) socket.on('error', () => undefined);
    await eventually(async () => {
      return (await node.metric('connections_dropped_total', { bound: 'source' })) === 5;
    });
    expect((await ask(addresses.shipping)).status).toBe(200);
    for (const socket of sockets) socket.destroy();
  });
});
