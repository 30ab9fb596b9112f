import { describe, expect, test } from 'vitest';
import { podOf, testClock, testMetrics } from '../../../../box/played/fixtures.ts';
import { entryOf, framed, logMessage } from '../../../../box/played/log-messages.ts';
import { decodeLogMessage } from '../../../../companion/contract/access-log.ts';
import type { LearningSource } from '../../../../companion/core/scope/source.ts';
import {
  accessLogBounds,
  createAccessLogs,
  type LogStream,
} from '../../../../companion/node/access-log.ts';
import { createAggregate } from '../../../../companion/node/aggregate.ts';
import type { Pod } from '../../../../companion/node/pods.ts';

const reviews = 'outbound|9080||reviews.shop.svc.cluster.local';
const cart = podOf('cart', { addresses: ['10.1.0.5'] });

function start(bounds: Partial<typeof accessLogBounds> = {}) {
  const { metrics, value } = testMetrics();
  const clock = testClock();
  const given = { source: 'access-log' as LearningSource | undefined };
  const { now } = clock;
  const aggregate = createAggregate({ metrics, now, sourceOf: () => given.source });
  const told: [string, boolean][] = [];
  const served = new Set([cart.uid]);
  const logs = createAccessLogs({
    ...{ aggregate, metrics, now, bounds: { ...accessLogBounds, ...bounds } },
    pods: {
      find: (address) =>
        cart.addresses.includes(address) ? { pod: cart } : { refused: 'unknown-source' },
      isServed: ({ uid }: Pod) => served.has(uid),
    },
    onReport: ({ name }, urgent) => told.push([name, urgent]),
  });
  const open = () => logs.open('10.1.0.5') as LogStream;
  const used = () => {
    const proxy = aggregate.get(cart.uid);
    return proxy ? aggregate.changesSince(proxy, 0) : [];
  };
  const life = () => {
    const proxy = aggregate.get(cart.uid);
    return proxy && aggregate.lifeOf(proxy);
  };
  return { logs, open, used, life, told, served, clock, value, aggregate, given };
}

const requests = (count: number) =>
  framed(
    logMessage(
      'http',
      Array.from({ length: count }, () => entryOf(reviews)),
    ),
  );

test('entries are counted by destination, and a new destination is urgent', () => {
  const { open, used, told } = start();
  const stream = open();
  expect(stream.receive(requests(3))).toBe(true);
  stream.receive(requests(2));
  expect(used()).toEqual([{ cluster: reviews, secondsSinceSeen: 0, count: 5 }]);
  expect(told).toEqual([
    ['cart', true],
    ['cart', true],
    ['cart', false],
  ]);
});

test('an entry while a stream goes on is a use, and is counted when the stream ends', () => {
  const { open, used, clock } = start();
  const stream = open();
  const during = entryOf(reviews, { accessLogType: 5, intermediateLogEntry: true });
  stream.receive(framed(logMessage('http', [during])));
  clock.pass(60_000);
  stream.receive(framed(logMessage('http', [during])));
  expect(used()).toEqual([{ cluster: reviews, secondsSinceSeen: 0, count: 0 }]);
  stream.receive(requests(1));
  expect(used()).toEqual([{ cluster: reviews, secondsSinceSeen: 0, count: 1 }]);
});

test('the path and the user agent are not read', () => {
  const message = logMessage('http', [entryOf(reviews)]);
  expect(message.includes('secret')).toBe(true);
  expect(JSON.stringify(decodeLogMessage(message))).not.toMatch(/secret|curl/);
});

test('messages arrive in any parts', () => {
  const { open, used } = start();
  const all = Buffer.concat([requests(2), requests(1), requests(4)]);
  const stream = open();
  for (let at = 0; at < all.length; at += 7) stream.receive(all.subarray(at, at + 7));
  expect(used()).toMatchObject([{ count: 7 }]);
});

test('an address that is no pod of this node gets nothing', async () => {
  const { logs, value } = start();
  expect(logs.open('10.9.9.9')).toEqual({ refused: 'unknown-source' });
  expect(logs.check('10.9.9.9')).toEqual({ refused: 'unknown-source' });
  expect(await value('node_refused_total', { path: 'access-log' })).toBe(2);
});

describe('the life of a log', () => {
  test('is silent until the proxy is heard, and then as old as the last health check', () => {
    const { logs, life, clock } = start();
    expect(life()).toBeUndefined();
    logs.check('10.1.0.5');
    clock.pass(40_000);
    expect(life()).toMatchObject({ source: 'access-log', heardAt: clock.now() - 40_000 });
  });

  test('goes on while a stream is open', () => {
    const { open, life, clock } = start();
    open();
    clock.pass(3_600_000);
    expect(life()).toMatchObject({ heardAt: clock.now(), unbrokenSince: clock.now() - 3_600_000 });
  });

  test('is broken by the end of a stream', () => {
    const { open, life, clock } = start();
    const stream = open();
    clock.pass(1_000_000);
    stream.ended();
    expect(life()).toMatchObject({ unbrokenSince: clock.now() });
  });

  test('is broken by silence, but not by one health check that is missing', () => {
    const { logs, life, clock } = start();
    logs.check('10.1.0.5');
    clock.pass(60_000);
    logs.check('10.1.0.5');
    expect(life()).toMatchObject({ unbrokenSince: clock.now() - 60_000 });
    clock.pass(90_000);
    logs.check('10.1.0.5');
    expect(life()).toMatchObject({ unbrokenSince: clock.now() });
  });

  test('is broken by what Envoy dropped, once', async () => {
    const { logs, life, clock, aggregate, value } = start();
    const stats = { allocatedBytes: 1, physicalBytes: 1, clusters: 1 };
    logs.check('10.1.0.5');
    aggregate.setStats(cart, stats, 0);
    for (let i = 0; i < 3; i++) {
      clock.pass(15_000);
      aggregate.setStats(cart, stats, 7);
      logs.check('10.1.0.5');
    }
    expect(life()).toMatchObject({ unbrokenSince: clock.now() - 30_000 });
    expect(await value('node_log_gaps_total', { reason: 'envoy' })).toBe(1);
  });

  test('of a deleted pod is not kept', () => {
    const { open, served, aggregate } = start();
    const stream = open();
    served.delete(cart.uid);
    aggregate.forget(cart.uid);
    stream.receive(requests(1));
    stream.ended();
    expect(aggregate.get(cart.uid)).toBeUndefined();
  });
});

describe('a bound', () => {
  test.each([
    ['message', { messageBytes: 100 }],
    ['room', { partial: { all: 100, pod: 100 } }],
    ['pod rate', { podRate: { perSecond: 1, burst: 0 } }],
    ['node rate', { nodeRate: { perSecond: 1, burst: 0 } }],
  ])('%s drops entries, is counted, breaks the log, and ends no stream', async (bound, bounds) => {
    const { open, used, life, clock, value } = start(bounds);
    const stream = open();
    clock.pass(10);
    const message = requests(2);
    expect(stream.receive(message.subarray(0, 20))).toBe(true);
    expect(stream.receive(message.subarray(20))).toBe(true);
    expect(used()).toEqual([]);
    expect(life()).toMatchObject({ unbrokenSince: clock.now() });
    expect(await value('node_log_dropped_total', { bound })).toBe(1);
  });

  test('streams refuses more, and takes one when another has ended', async () => {
    const { logs, open, value } = start({ streams: { all: 8, perKey: 2 } });
    const first = open();
    open();
    expect(logs.open('10.1.0.5')).toEqual({ refused: 'full' });
    expect(await value('node_log_dropped_total', { bound: 'streams' })).toBe(1);
    first.ended();
    expect(logs.open('10.1.0.5')).toHaveProperty('receive');
  });

  test('streams and room hold for 10,000 streams that announce messages and send none', async () => {
    const { logs, value } = start({ calls: { perSecond: 1, burst: 20_000 } });
    const announced = Buffer.from([0, 0, 1, 255, 255, 1, 2, 3]);
    for (let i = 0; i < 10_000; i++) {
      const stream = logs.open('10.1.0.5');
      if ('receive' in stream) stream.receive(announced);
    }
    const { streams, partial, messageBytes } = accessLogBounds;
    expect(await value('node_log_streams')).toBe(streams.perKey);
    expect(await value('node_log_dropped_total', { bound: 'streams' })).toBe(
      10_000 - streams.perKey,
    );
    const kept = Math.floor(partial.pod / (messageBytes - 1));
    expect(await value('node_log_dropped_total', { bound: 'room' })).toBe(streams.perKey - kept);
  });

  test('of calls refuses more of the same pod', () => {
    const { logs } = start({ calls: { perSecond: 1, burst: 1 } });
    expect(logs.check('10.1.0.5')).toBe('serving');
    expect(logs.check('10.1.0.5')).toEqual({ refused: 'limited' });
  });

  test('a skipped message is followed by the next one', () => {
    const { open, used } = start({ messageBytes: 600 });
    const stream = open();
    stream.receive(Buffer.concat([requests(20), requests(1)]));
    expect(used()).toMatchObject([{ count: 1 }]);
  });

  test('compressed messages, which nobody asked for, end the stream', () => {
    const { open } = start();
    expect(open().receive(Buffer.from([1, 0, 0, 0, 0]))).toBe(false);
  });
});

describe('a change of the source', () => {
  const totals = new Proxy({}, { get: () => 0n }) as never;
  const report = (count: number, sequence: number) => ({
    filterVersion: '0.1.0',
    epoch: 7n,
    sequence,
    totals,
    entries: [
      { destination: { kind: 'cluster', cluster: reviews } as const, count: BigInt(count) },
    ],
  });
  test('counts each call once, whichever of both reports it, and forgets nothing', () => {
    const { open, used, aggregate, given } = start();
    given.source = 'wasm';
    aggregate.record(cart, report(10, 1));
    const stream = open();
    stream.receive(requests(2));
    expect(used()).toMatchObject([{ count: 10 }]);
    given.source = 'access-log';
    stream.receive(requests(3));
    aggregate.record(cart, report(15, 2));
    expect(used()).toMatchObject([{ count: 13 }]);
    given.source = 'wasm';
    aggregate.record(cart, report(16, 3));
    expect(used()).toMatchObject([{ count: 14 }]);
  });

  test('hears only the source in force, or either one if the label is a mistake', () => {
    const { logs, life, given, aggregate, clock } = start();
    logs.check('10.1.0.5');
    given.source = 'wasm';
    expect(life()).toEqual({ source: 'wasm', heardAt: undefined });
    given.source = undefined;
    expect(life()).toMatchObject({ source: 'access-log', heardAt: clock.now() });
    aggregate.record(cart, report(1, 1));
    expect(life()).toEqual({ source: 'wasm', heardAt: clock.now() });
  });
});
