import fc from 'fast-check';
import { Registry } from 'prom-client';
import { afterEach, expect, test } from 'vitest';
import { log } from '../../../../box/played/fixtures.ts';
import { createControllerMetrics } from '../../../../companion/controller/metrics.ts';
import { createFeed, type Feed, gatherMsFor } from '../../../../companion/controller/nodes/feed.ts';
import { followerBounds } from '../../../../companion/controller/nodes/follower.ts';
import { readNamespace } from '../../../../companion/controller/state/namespaces.ts';
import { createState, type State } from '../../../../companion/controller/state/state.ts';
import { markTouched } from '../../../../companion/controller/watch/touched.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { app, istio, pod, service, slice } from '../core/objects.ts';
import { gatewayHost, meshObjects, namespaces } from './random-mesh.ts';
import { createReceiver } from './receiver.ts';

const config = {
  ...{ clusterDomain: 'cluster.local', trustDomain: 'td', rootNamespace: 'istio-system' },
  ...{ gatewayHost, firstCall: 'direct' as const },
};
const feeds: Feed[] = [];
afterEach(() => {
  for (const feed of feeds.splice(0)) feed.stop();
});

/** A replica whose watches show what the test says. */
function replica(
  state: State = createState({ ...config, namespace: 'lazyscope-system' }),
  bounds = followerBounds,
) {
  for (const name of namespaces) {
    const metadata = { name, labels: { 'lazyscope.io/mode': 'enforce' } };
    state.namespaces.set(name, readNamespace({ apiVersion: 'v1', kind: 'Namespace', metadata }));
  }
  const registry = new Registry();
  const metrics = createControllerMetrics(registry);
  const value = async (name: string, labels: Record<string, string> = {}) => {
    const found = await registry.getSingleMetric(`lazyscope_${name}`)?.get();
    const isWanted = (each: { labels: Record<string, string | number | undefined> }) =>
      Object.entries(labels).every(([label, wanted]) => each.labels[label] === wanted);
    return found?.values.find(isWanted)?.value;
  };
  const feed = createFeed({ state, config, metrics, log, now: () => 0, bounds });
  const touch = markTouched(feed, state, config);
  feeds.push(feed);
  return {
    state,
    feed,
    value,
    put(object: KubeObject) {
      state.catalog.upsert(object);
      state.podsChanged(object.metadata.namespace ?? '');
      touch(object);
    },
    remove(object: KubeObject) {
      state.catalog.remove(object);
      state.podsChanged(object.metadata.namespace ?? '');
      touch(object);
    },
  };
}

type Replica = ReturnType<typeof replica>;

/** Resolves when a node has got what this replica knows now. */
async function followed({ feed }: Replica, receiver = createReceiver(), node = 'node-1') {
  let isFed = () => {};
  const fed = new Promise<void>((resolve) => {
    isFed = resolve;
  });
  const end = feed.follow(node, receiver.follow(), (part) => {
    receiver.send(part);
    if (part.complete || part.refused !== '') isFed();
  });
  await fed;
  return { ...receiver, end };
}

const byKey = (texts: ReadonlyMap<string, string>) => new Map([...texts].sort());
const callers = namespaces.map((name) => pod(`${name}/caller`, { ip: `10.9.0.${name.length}` }));

test('a node that was sent changes has what one that asks now is sent', async () => {
  await fc.assert(
    fc.asyncProperty(
      // Hosts of other clusters come by no watch; the tick marks them.
      meshObjects.map((objects) => objects.filter(({ kind }) => kind !== 'FarHost')),
      fc.array(fc.nat(30), { maxLength: 8 }),
      fc.nat(30),
      async (objects, gone, turn) => {
        const one = replica();
        for (const object of callers) one.put(object);
        const node = await followed(one);
        for (const [index, object] of objects.entries()) {
          one.put(object);
          if (index === turn) await followed(one);
        }
        for (const index of gone) {
          const object = objects[index];
          if (object) one.remove(object);
        }
        await followed(one);
        const fresh = await followed(replica(one.state));
        expect(byKey(node.texts)).toEqual(byKey(fresh.texts));
      },
    ),
    { numRuns: 150 },
  );
});

test('a node that comes back is sent only what changed, by either replica', async () => {
  const [one, other] = [replica(), replica()];
  const mesh = Array.from({ length: 500 }, (_, n) =>
    service(`shop/s${n}`, { ip: `10.96.1.${n % 250}` }),
  );
  for (const object of [...callers, ...mesh]) one.put(object);
  for (const object of [...mesh].reverse()) other.put(object);
  for (const object of callers) other.put(object);
  const node = await followed(one);
  const whole = node.sent.length;
  node.end();
  const same = await followed(other, node);
  expect(same.sent.length).toBe(whole);
  same.end();
  const changed = service('shop/s7', { ip: '10.96.2.7' });
  one.put(changed);
  other.put(changed);
  const after = await followed(other, node);
  expect(after.sent.length - whole).toBeLessThan(whole / 20);
  expect(byKey(after.texts)).toEqual(byKey((await followed(one)).texts));
});

test('what every node gets is compressed once for all nodes', async () => {
  const one = replica();
  for (const object of callers) one.put(object);
  for (let n = 0; n < 100; n++) one.put(service(`shop/s${n}`, { ip: `10.96.1.${n}` }));
  const packs = async (node: string) => {
    const got: Uint8Array[] = [];
    const receiver = createReceiver();
    const send = receiver.send;
    receiver.send = (part) => {
      got.push(...part.packs);
      send(part);
    };
    await followed(one, receiver, node);
    return got;
  };
  const [first, second] = [await packs('node-1'), await packs('node-2')];
  expect(first.length).toBeGreaterThan(10);
  expect(second).toHaveLength(first.length);
  for (const [index, pack] of first.entries()) expect(second[index]).toBe(pack);
});

test('a change of many hosts is sent as whole buckets, and leaves a node with all that it may see', async () => {
  const one = replica();
  one.put(pod('bank/caller', { ip: '10.9.0.5' }));
  for (let n = 0; n < 700; n++) {
    const exportTo = n % 7 === 0 ? { exportTo: 'bank' } : {};
    one.put(service(`shop/s${n}`, { ip: `10.96.${n >> 8}.${n & 255}`, ...exportTo }));
  }
  const node = await followed(one);
  const { parts } = node.sent;
  for (let n = 0; n < 690; n++)
    one.put(service(`shop/s${n}`, { ip: `10.97.${n >> 8}.${n & 255}` }));
  await one.feed.sent();
  expect(node.sent.parts).toBeGreaterThan(parts);
  expect(node.sent.packs).toBeGreaterThan(64);
  const fresh = await followed(replica(one.state));
  expect(byKey(node.texts)).toEqual(byKey(fresh.texts));
});

test('every change so far is with the node once it was sent without a delay', async () => {
  const one = replica();
  for (const object of callers) one.put(object);
  const node = await followed(one);
  for (let n = 0; n < 50; n++) one.put(service(`shop/s${n}`, { ip: `10.96.3.${n}` }));
  await one.feed.sent();
  const fresh = await followed(replica(one.state));
  expect(byKey(node.texts)).toEqual(byKey(fresh.texts));
});

test('changes are gathered for 50 ms, and in a mesh of many nodes for longer', () => {
  expect([1, 200, 1_000, 5_000].map(gatherMsFor)).toEqual([50, 50, 250, 1_250]);
});

test('a node is sent nothing that only pods of other nodes see', async () => {
  const one = replica();
  one.put(pod('shop/caller', { ip: '10.9.0.4', node: 'node-1' }));
  one.put(pod('bank/caller', { ip: '10.9.0.5', node: 'node-2' }));
  one.put(service('bank/private', { ip: '10.96.0.1', exportTo: '.' }));
  one.put(service('bank/public', { ip: '10.96.0.2' }));
  const hosts = async (node: string) =>
    [...(await followed(one, createReceiver(), node)).texts.keys()].filter((key) =>
      key.includes('bank'),
    );
  expect(await hosts('node-1')).toEqual(['host service bank/public']);
  expect(await hosts('node-2')).toContain('caller bank/caller');
  expect(await hosts('node-2')).toContain('host service bank/private');
  // No node of this name has a pod.
  expect([...(await followed(one, createReceiver(), 'node-3')).texts.keys()]).toEqual(
    expect.not.arrayContaining([expect.stringContaining('caller')]),
  );
});

test('a node follows the namespaces of its pods as these come and go', async () => {
  const one = replica();
  one.put(service('bank/private', { ip: '10.96.0.1', exportTo: '.' }));
  const node = await followed(one);
  const has = () => node.texts.has('host service bank/private');
  expect(has()).toBe(false);
  const caller = pod('bank/caller', { ip: '10.9.0.5' });
  one.put(caller);
  await followed(one);
  expect(has()).toBe(true);
  one.remove(caller);
  await followed(one);
  expect(has()).toBe(false);
});

test('a host that an object no longer names is gone', async () => {
  const one = replica();
  const entry = (...hosts: string[]) =>
    istio('ServiceEntry', 'shop/entry', { hosts, ports: [{ number: 80, protocol: 'HTTP' }] });
  for (const object of [...callers, entry('x.example.com', 'y.example.com')]) one.put(object);
  const node = await followed(one);
  one.put(entry('y.example.com'));
  await followed(one);
  const hosts = [...node.texts.keys()].filter((key) => key.includes('shop/entry'));
  expect(hosts).toEqual(['host entry shop/entry y.example.com']);
});

test('whatever does not fit, a node has every record whole, or short with the same key', async () => {
  await fc.assert(
    fc.asyncProperty(
      meshObjects.map((objects) => objects.filter(({ kind }) => kind !== 'FarHost')),
      fc.nat(12),
      fc.nat(30),
      async (objects, hosts, turn) => {
        const one = replica(undefined, { hosts, known: 1e6, length: 1e6 });
        for (const object of callers) one.put(object);
        const node = await followed(one);
        for (const [index, object] of objects.entries()) {
          one.put(object);
          if (index === turn) await followed(one);
        }
        await followed(one);
        const all = byKey((await followed(replica(one.state))).texts);
        expect([...byKey(node.texts).keys()]).toEqual([...all.keys()]);
        for (const [key, text] of node.texts)
          if (text !== all.get(key))
            expect(JSON.parse(text).host).toMatchObject({ tooLarge: true });
      },
    ),
    { numRuns: 100 },
  );
});

test('hosts beyond the bound are sent short, the same ones by both replicas, until they fit', async () => {
  const bounds = { hosts: 300, known: 1e6, length: 1e6 };
  const [one, other] = [replica(undefined, bounds), replica(undefined, bounds)];
  const mesh = Array.from({ length: 400 }, (_, n) =>
    app(`shop/s${n}`, `10.96.${n >> 8}.${n & 255}`, `10.1.${n >> 8}.${n & 255}`),
  );
  for (const object of [...callers, ...mesh.flat()]) one.put(object);
  for (const object of [...mesh.flat().reverse(), ...callers]) other.put(object);
  const node = await followed(one);
  const shortOf = (texts: ReadonlyMap<string, string>) =>
    [...texts.values()].filter((text) => text.includes('"tooLarge":true')).length;
  expect(node.texts.size).toBeGreaterThan(400);
  expect(shortOf(node.texts)).toBeGreaterThanOrEqual(100);
  // A bucket has six hosts or seven.
  expect(shortOf(node.texts)).toBeLessThan(120);
  expect(await one.value('controller_catalog_followers', { state: 'in-part' })).toBe(1);
  expect(await one.value('controller_catalog_short_hosts')).toBe(shortOf(node.texts));
  expect(byKey((await followed(other)).texts)).toEqual(byKey(node.texts));
  for (const object of mesh.slice(0, 110).flat()) one.remove(object);
  await followed(one);
  expect(shortOf(node.texts)).toBe(0);
  expect(await one.value('controller_catalog_short_hosts')).toBe(0);
});

test('a catalog that is at the bound in characters is sent in part', async () => {
  const one = replica(undefined, { hosts: 1e6, known: 1e6, length: 40_000 });
  for (const object of callers) one.put(object);
  for (let n = 0; n < 200; n++)
    for (const object of app(`shop/s${n}`, `10.96.0.${n}`, `10.1.0.${n}`, { node: 'node-2' }))
      one.put(object);
  const node = await followed(one);
  const length = [...node.texts.values()].reduce((sum, text) => sum + text.length, 0);
  expect(length).toBeLessThanOrEqual(40_000);
  expect(length).toBeGreaterThan(38_000);
});

test('a catalog that does not fit even with short records is refused, until it fits', async () => {
  const one = replica(undefined, { hosts: 3, known: 3, length: 1e6 });
  const mesh = [0, 1, 2, 3].map((n) => service(`shop/s${n}`, { ip: `10.96.1.${n}` }));
  for (const object of [...callers, ...mesh]) one.put(object);
  const node = await followed(one);
  expect([node.sent.refused, node.texts.size]).toEqual([expect.stringMatching(/^4 hosts/), 0]);
  one.remove(service('shop/s0'));
  await followed(one);
  expect(node.sent.refused).toBe('');
  expect([...node.texts.keys()].filter((key) => key.startsWith('host'))).toHaveLength(3);
});

test('5,000 services with two ports are at most 2 MB, a changed one 1 KB, an equal catalog nothing', async () => {
  const one = replica();
  const ports = [80, 81].map((port) => ({ name: `http-${port}`, port }));
  const cart = (n: number, ips: number[]) => {
    const name = `service-${n}`;
    const ipOf = (index: number) => `10.${index}.${n >> 8}.${n & 255}`;
    return [
      service(`shop/${name}`, { ip: ipOf(96), ports }),
      ...ips.map((index) => pod(`shop/${name}-${index}`, { ip: ipOf(index), account: name })),
      slice(
        `shop/${name}`,
        ips.map((index) => ({ ip: ipOf(index), pod: `${name}-${index}` })),
        ports,
      ),
    ];
  };
  for (const object of app('lazyscope-system/lazyscope-egress', '10.97.0.1', '10.98.0.1'))
    one.put(object);
  // The servers are on other nodes.
  const far = (object: KubeObject) => {
    const creationTimestamp = '2026-01-01T00:00:00Z';
    const metadata = { ...object.metadata, creationTimestamp };
    const spec = { ...object.spec, ...(object.kind === 'Pod' && { nodeName: 'node-2' }) };
    return { ...object, metadata, spec };
  };
  for (let n = 0; n < 5_000; n++) for (const object of cart(n, [1, 2])) one.put(far(object));
  for (const object of callers) one.put(object);
  const node = await followed(one);
  expect(node.texts.size).toBeGreaterThan(5_000);
  expect(node.sent.length).toBeLessThanOrEqual(2e6);
  const whole = node.sent.length;
  for (const object of cart(7, [1, 2, 3])) one.put(far(object));
  await followed(one);
  const changed = node.sent.length - whole;
  expect([changed > 0, changed <= 1_024]).toEqual([true, true]);
});
