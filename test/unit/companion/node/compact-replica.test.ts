import { afterEach, describe, expect, it, test, vi } from 'vitest';
import { podOf, testMetrics } from '../../../../box/played/fixtures.ts';
import { packRecords } from '../../../../companion/contract/catalog-pack.ts';
import type { CatalogPart, Follow } from '../../../../companion/contract/rpc.ts';
import { createDigests } from '../../../../companion/core/compact/digests.ts';
import type { UnknownCall } from '../../../../companion/core/first-call/resolve.ts';
import {
  createCompactReplica,
  replicaBounds,
  type Source,
} from '../../../../companion/node/compact-replica.ts';
import { type Controller, kube, scope, start } from '../controller/shop.ts';
import { app, istio, service, slice } from '../core/objects.ts';

const web = podOf('web', { uid: 'uid-shop/web' });
const replicas: { stop(): void }[] = [];
afterEach(() => {
  vi.useRealTimers();
  for (const replica of replicas.splice(0)) replica.stop();
});

function create(bounds = replicaBounds) {
  const { metrics, value } = testMetrics();
  const replica = createCompactReplica({ metrics, bounds });
  replicas.push(replica);
  return { ...replica, value };
}

type Replica = ReturnType<typeof create>;

/** A stream between a node and a controller; ends are as a lost connection. */
function connect(replica: Replica, { messages }: Controller) {
  let unfollow = () => {};
  const source: Source = {
    follow(follow: Follow) {
      unfollow();
      unfollow = messages.onFollow('node-1', follow, (part) => replica.received(source, part));
    },
  };
  replica.opened(source);
  return () => {
    unfollow();
    replica.ended(source);
  };
}

const callTo = (authority: string, destination = '10.96.0.1:80'): UnknownCall => {
  return { tcp: false, authority, destination };
};

/** A controller that has narrowed `web`, and a node that follows it. */
async function narrowed(firstCall = 'gateway') {
  enableWith(firstCall);
  for (const object of app('lazyscope-system/lazyscope-egress', '10.96.0.9', '10.1.0.9'))
    kube.put(object);
  const controller = await start();
  controller.report('web');
  await controller.lookThrough();
  await vi.waitFor(() => expect(scope()).toBeDefined());
  controller.pass(60_000);
  const replica = create();
  const end = connect(replica, controller);
  return { controller, replica, end };
}

function enableWith(firstCall: string): void {
  const labels = { 'lazyscope.io/mode': 'enforce' };
  const annotations = { 'lazyscope.io/first-call': firstCall };
  kube.put({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shop', labels, annotations },
  });
}

/** The node's answer in the form of the controller's; `ask` where it has to ask. */
function told(replica: Replica, call: UnknownCall): unknown {
  const found = replica.answer(web, call);
  return found?.use === 'whole' ? found.decision : 'ask';
}

const wayOf = ({ strategy, otherwise, sni, identities, reason }: Record<string, unknown>) => {
  return { strategy, otherwise, sni, identities, reason };
};

async function untilSame(controller: Controller, replica: Replica, authority = 'cart') {
  await vi.waitFor(() => {
    const wanted = wayOf(controller.ask('web', authority));
    // Never passed through while a controller may know better.
    if (wanted.strategy === 'passthrough') expect(told(replica, callTo(authority))).toBe('ask');
    else expect(told(replica, callTo(authority))).toMatchObject(wanted);
  });
}

const rule = (mode: string) =>
  istio('DestinationRule', 'shop/cart', { host: 'cart', trafficPolicy: { tls: { mode } } });

const changes: [string, () => void, Record<string, unknown>][] = [
  ['nothing', () => {}, { strategy: 'gateway' }],
  ['another strategy', () => enableWith('direct'), { strategy: 'direct' }],
  ['a rule of TLS', () => kube.put(rule('DISABLE')), { strategy: 'plain' }],
  [
    'a policy of the servers',
    () => kube.put(istio('PeerAuthentication', 'shop/off', { mtls: { mode: 'DISABLE' } })),
    { strategy: 'plain' },
  ],
  [
    'another server',
    () => {
      for (const object of app('shop/cart', '10.96.0.1', '10.1.0.7', { account: 'new' }))
        kube.put(object);
    },
    { identities: ['spiffe://cluster.local/ns/shop/sa/new'] },
  ],
  ['no server', () => kube.put(slice('shop/cart', [])), { reason: expect.any(String) }],
  [
    'no gateway',
    () => kube.put(slice('lazyscope-system/lazyscope-egress', [])),
    { strategy: 'direct' },
  ],
  [
    'no export to the gateway',
    () => kube.put(service('shop/cart', { ip: '10.96.0.1', exportTo: '.' })),
    { strategy: 'direct' },
  ],
  [
    'a default Sidecar without the host',
    () => kube.put(istio('Sidecar', 'shop/default', { egress: [{ hosts: ['other/*'] }] })),
    { strategy: 'passthrough' },
  ],
];

describe('a node that follows a controller', () => {
  it.each(changes)(
    'answers as the controller does after a change of %s',
    async (_, act, wanted) => {
      const { controller, replica } = await narrowed();
      await untilSame(controller, replica);
      act();
      await vi.waitFor(() => expect(controller.ask('web', 'cart')).toMatchObject(wanted));
      await untilSame(controller, replica);
    },
  );

  it('asks about a host that only a controller can bring a route for, and without one does not wait', async () => {
    const { controller, replica, end } = await narrowed();
    await untilSame(controller, replica);
    kube.put(istio('VirtualService', 'shop/cart', { hosts: ['cart'], http: [] }));
    await vi.waitFor(() => expect(told(replica, callTo('cart'))).toBe('ask'));
    end();
    expect(replica.answer(web, callTo('cart'))).toMatchObject({
      use: 'alone',
      decision: { strategy: 'gateway', otherwise: '' },
    });
  });

  it('asks about what it does not know: a host, a pod, a pod of the same name', async () => {
    const { controller, replica } = await narrowed();
    await untilSame(controller, replica);
    expect(replica.answer(web, callTo('nowhere.test', '10.200.0.1:80'))).toBeUndefined();
    expect(replica.answer(podOf('new'), callTo('cart'))).toBeUndefined();
    expect(replica.answer({ ...web, uid: 'another' }, callTo('cart'))).toBeUndefined();
  });

  it('answers on when all controllers are gone, with the identity pinned', async () => {
    const { controller, replica, end } = await narrowed('direct');
    await untilSame(controller, replica);
    end();
    await controller.stop();
    expect(told(replica, callTo('cart'))).toMatchObject({
      strategy: 'direct',
      identities: ['spiffe://cluster.local/ns/shop/sa/cart'],
    });
    expect(await replica.value('node_catalog_current')).toBe(0);
    expect(await replica.value('node_catalog_hosts')).toBeGreaterThan(1);
  });

  it('goes on with another replica where it was', async () => {
    const { controller, replica, end } = await narrowed('direct');
    await untilSame(controller, replica);
    const other = await start({ leads: false });
    await vi.waitFor(() => expect(other.ask('web', 'cart').strategy).toBe('direct'));
    connect(replica, other);
    end();
    await untilSame(other, replica);
    kube.put(istio('PeerAuthentication', 'shop/off', { mtls: { mode: 'DISABLE' } }));
    await untilSame(other, replica);
  });
});

const part = (more: Partial<CatalogPart> = {}): CatalogPart => {
  return {
    cleared: [],
    records: [],
    removed: [],
    complete: false,
    refused: '',
    followId: 1,
    packs: [],
    ...more,
  };
};

const hostRecord = (name: string, filler = '') => {
  const host = { kind: 'service', namespace: 'shop', name, host: `${name}.shop`, ports: [] };
  const text = JSON.stringify({ type: 'host', host: { ...host, created: filler } });
  return { key: `host service shop/${name}`, text };
};

function fakeSource() {
  const follows: Follow[] = [];
  return { follows, follow: (follow: Follow) => void follows.push(follow) };
}

test('records of a pack count as all others, and a broken pack drops the catalog', async () => {
  const replica = create();
  const source = fakeSource();
  replica.opened(source);
  const packs = [packRecords([hostRecord('a'), hostRecord('b')])];
  replica.received(source, part({ packs, records: [hostRecord('c')], complete: true }));
  expect(await replica.value('node_catalog_hosts')).toBe(3);
  replica.received(source, part({ packs: [new Uint8Array([1, 2])], complete: true }));
  expect(await replica.value('node_catalog_hosts')).toBe(0);
});

test('parts take effect together', async () => {
  const replica = create();
  const source = fakeSource();
  replica.opened(source);
  replica.received(source, part({ records: [hostRecord('a')] }));
  expect(await replica.value('node_catalog_hosts')).toBe(0);
  replica.received(source, part({ records: [hostRecord('b')], complete: true }));
  expect(await replica.value('node_catalog_hosts')).toBe(2);
  expect(await replica.value('node_catalog_current')).toBe(1);
  replica.received(source, part({ removed: ['host service shop/a'], complete: true }));
  expect(await replica.value('node_catalog_hosts')).toBe(1);
});

test('a large catalog takes effect when all of it is there, and the node is free meanwhile', async () => {
  const replica = create();
  const [source, other] = [fakeSource(), fakeSource()];
  const records = Array.from({ length: 1_000 }, (_, n) => hostRecord(`s${n}`));
  replica.opened(source);
  replica.received(source, part({ records, complete: true }));
  expect(await replica.value('node_catalog_current')).toBe(0);
  await vi.waitFor(async () => expect(await replica.value('node_catalog_current')).toBe(1));
  expect(await replica.value('node_catalog_hosts')).toBe(1_000);
  // What is under way when the stream ends is finished first.
  const more = records.map(({ key }, n) => ({ ...hostRecord(`s${n}`, 'x'), key }));
  replica.received(source, part({ records: more, complete: true }));
  replica.opened(other);
  replica.ended(source);
  const digests = createDigests();
  for (const { key, text } of more) digests.toggle(key, text);
  expect(other.follows[0]?.digests).toEqual(digests.toBytes());
});

test('a part that never ended is forgotten with its stream, and the next controller is asked for what lacks', async () => {
  const replica = create();
  const [one, other] = [fakeSource(), fakeSource()];
  replica.opened(one);
  replica.opened(other);
  expect([one.follows.length, other.follows.length]).toEqual([1, 0]);
  replica.received(one, part({ records: [hostRecord('a')], complete: true }));
  replica.received(one, part({ records: [hostRecord('b')] }));
  replica.ended(one);
  const digests = createDigests();
  digests.toggle(hostRecord('a').key, hostRecord('a').text);
  expect(other.follows).toEqual([{ layout: 1, digests: digests.toBytes(), id: 2 }]);
  // Late parts of the old stream count for nothing, nor do those for an earlier question.
  replica.received(other, part({ complete: true, followId: 1 }));
  replica.received(one, part({ complete: true }));
  expect(await replica.value('node_catalog_hosts')).toBe(1);
  expect(await replica.value('node_catalog_current')).toBe(0);
});

test('a controller of an earlier release sends no catalog, so the next one is asked', () => {
  vi.useFakeTimers();
  const replica = create();
  const [old, current] = [fakeSource(), fakeSource()];
  replica.opened(old);
  replica.opened(current);
  vi.advanceTimersByTime(5_000);
  expect([old.follows.length, current.follows.length]).toEqual([1, 1]);
  replica.received(current, part({ complete: true, followId: 2 }));
  vi.advanceTimersByTime(60_000);
  expect([old.follows.length, current.follows.length]).toEqual([1, 1]);
});

test('a catalog that no controller keeps up to date answers only for want of an answer', async () => {
  const { controller, replica, end } = await narrowed('direct');
  await untilSame(controller, replica);
  // The controllers of an earlier release are back.
  replica.opened(fakeSource());
  end();
  expect(replica.answer(web, callTo('cart'))).toMatchObject({ use: 'alone' });
});

test('more than a node keeps is dropped and counted, until the next stream', async () => {
  const replica = create({ records: 2, length: 4_000 });
  const source = fakeSource();
  const hosts = async () => [
    await replica.value('node_catalog_hosts'),
    await replica.value('node_evicted_total', { table: 'catalog' }),
  ];
  replica.opened(source);
  replica.received(source, part({ records: [hostRecord('a', 'x'.repeat(5_000))], complete: true }));
  expect(await hosts()).toEqual([0, 1]);
  // A change of what was dropped.
  replica.received(source, part({ records: [hostRecord('b')], complete: true }));
  expect(await hosts()).toEqual([0, 1]);
  replica.ended(source);
  replica.opened(source);
  replica.received(source, part({ records: [hostRecord('b')], complete: true, followId: 2 }));
  expect(await hosts()).toEqual([1, 1]);
  const more = ['c', 'd'].map((name) => hostRecord(name));
  replica.received(source, part({ records: more, complete: true, followId: 2 }));
  expect(await hosts()).toEqual([0, 2]);
});

test('a catalog that a controller takes back is gone', async () => {
  const replica = create();
  const source = fakeSource();
  replica.opened(source);
  replica.received(source, part({ records: [hostRecord('a')], complete: true }));
  replica.received(source, part({ refused: 'too large' }));
  expect(await replica.value('node_catalog_hosts')).toBe(0);
  replica.received(source, part({ records: [hostRecord('a')], complete: true }));
  expect(await replica.value('node_catalog_hosts')).toBe(1);
});

test('a record of a later release is kept and not read', () => {
  const replica = create();
  const source = fakeSource();
  const later = { key: 'later x', text: '{"type":"later","later":{}}' };
  replica.opened(source);
  replica.received(
    source,
    part({ records: [later, { key: 'y', text: 'no json' }], complete: true }),
  );
  replica.ended(source);
  replica.opened(source);
  const digests = createDigests();
  for (const { key, text } of [later, { key: 'y', text: 'no json' }]) digests.toggle(key, text);
  expect(source.follows[1]?.digests).toEqual(digests.toBytes());
});
