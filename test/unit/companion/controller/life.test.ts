import { describe, expect, test, vi } from 'vitest';
import { app } from '../core/objects.ts';
import {
  always,
  type Controller,
  cart,
  enable,
  hosts,
  kube,
  reason,
  scope,
  settle,
  start,
} from './shop.ts';

const minutes = 60_000;
const step = 50_000;
const life = { ttlMs: 10 * minutes, guard: { share: 1, count: 20 } };

/**
 * Advances the time while the proxies report and the controllers evaluate everything, as in a real
 * mesh.
 */
async function live(controllers: Controller[], ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += step) {
    for (const controller of controllers) {
      controller.pass(step);
      for (const pod of ['web', 'cart']) controller.report(pod);
      await controller.lookThrough();
    }
  }
}

async function used(controller: Controller): Promise<void> {
  controller.report('web');
  controller.ask('web', 'cart');
  await vi.waitFor(() => expect(hosts()).toEqual([...always, cart]));
}

describe('a destination that is not used any more', () => {
  test('leaves the scope when its TTL is over, and an Event reports it', async () => {
    const controller = await start({ life });
    await used(controller);
    await live([controller], 9 * minutes);
    expect(hosts()).toContain(cart);
    await live([controller], 3 * minutes);
    expect(hosts()).toEqual(always);
    expect(scope()?.status.hosts).not.toContainEqual(expect.objectContaining({ host: cart }));
    const events = kube.all('Event').map(({ reason: why, message }) => `${why}: ${message}`);
    expect(events).toContain('Expired: 1 unused host expired: cart.shop.svc.cluster.local');
  });

  test('stays while it is used, and is learned again after it has expired', async () => {
    const controller = await start({ life });
    await used(controller);
    for (let round = 0; round < 3; round++) {
      await live([controller], 6 * minutes);
      controller.ask('web', 'cart');
    }
    expect(hosts()).toContain(cart);
    await live([controller], 12 * minutes);
    expect(hosts()).toEqual(always);
    await used(controller);
  });

  test('expires after the TTL of its scope', async () => {
    const controller = await start({ life });
    await used(controller);
    const before = scope();
    if (!before) throw new Error('no scope');
    kube.put({ ...before, spec: { ...before.spec, ttl: '2m' } });
    await live([controller], 4 * minutes);
    expect(hosts()).toEqual(always);
  });

  test('stays while a proxy is silent, and for a while afterwards', async () => {
    const controller = await start({ life });
    await used(controller);
    for (let passed = 0; passed < 4 * minutes; passed += step) {
      controller.pass(step);
      await controller.lookThrough();
    }
    await live([controller], 8 * minutes);
    expect(hosts()).toContain(cart);
    expect(scope()?.status.expiry).toMatchObject({ kept: 1, reason: 'Settling' });
    await live([controller], 4 * minutes);
    expect(hosts()).toEqual(always);
  });

  test('stays for an hour after a proxy dropped destinations, and the status says so', async () => {
    const controller = await start({ life });
    await used(controller);
    let dropped = 0;
    for (let passed = 0; passed < 14 * minutes; passed += step) {
      controller.pass(step);
      dropped += 1;
      controller.report('web', [], { overflow: dropped });
      controller.report('cart');
      await controller.lookThrough();
    }
    expect(hosts()).toContain(cart);
    expect(scope()?.status.expiry).toMatchObject({ kept: 1, reason: 'Overflow' });
    for (let passed = 0; passed < 12 * minutes; passed += step) {
      controller.pass(step);
      controller.report('web', [], { overflow: dropped });
      controller.report('cart');
      await controller.lookThrough();
    }
    expect(hosts()).toEqual(always);
  });

  test('stays if a new pod dropped fewer destinations than one that has ended', async () => {
    const controller = await start({ life });
    await used(controller);
    const [first] = kube.all('Pod').filter(({ metadata }) => metadata.name === 'web');
    if (!first) throw new Error('no pod');
    async function pass(pods: Record<string, number>, ms: number): Promise<void> {
      for (let passed = 0; passed < ms; passed += step) {
        controller.pass(step);
        for (const [pod, overflow] of Object.entries(pods))
          controller.report(pod, [], { overflow });
        await controller.lookThrough();
      }
    }
    await pass({ web: 5, cart: 0 }, 8 * minutes);
    // The rollout of `web`: the sum over its pods falls from 5 to 3.
    kube.put({ ...first, metadata: { ...first.metadata, name: 'web-2', uid: 'uid-web-2' } });
    await kube.delete({ group: '', version: '', plural: 'pods' }, 'web', 'shop');
    await pass({ 'web-2': 3, cart: 0 }, 8 * minutes);
    expect(hosts()).toContain(cart);
    expect(scope()?.status.expiry).toMatchObject({ kept: 1, reason: 'Overflow' });
    await pass({ 'web-2': 3, cart: 0 }, 4 * minutes);
    expect(hosts()).toEqual(always);
  });

  test('stays right after a restart', async () => {
    const first = await start({ life });
    await used(first);
    await vi.waitFor(() => expect(scope()?.status.hostCount).toBe(3));
    await first.stop();
    const second = await start({ life });
    second.pass(100 * minutes);
    await live([second], 9 * minutes);
    expect(hosts()).toContain(cart);
    await live([second], 3 * minutes);
    expect(hosts()).toEqual(always);
  });

  test('is not learned again from a node that remembers it for longer', async () => {
    const first = await start({ life });
    await used(first);
    await live([first], 12 * minutes);
    expect(hosts()).toEqual(always);
    await first.stop();
    const second = await start({ life });
    const edge = (secondsSinceSeen: number) => [
      { cluster: 'outbound|80||cart.shop.svc.cluster.local', secondsSinceSeen },
    ];
    second.report('web', edge(12 * 60));
    await second.lookThrough();
    expect(hosts()).toEqual(always);
    second.report('web', edge(9 * 60));
    await second.lookThrough();
    expect(hosts()).toContain(cart);
  });

  test('expires in the memory of a follower too, unless the follower has a later use', async () => {
    const leader = await start({ life });
    const follower = await start({ life, leads: false });
    await used(leader);
    follower.report('web');
    await live([leader, follower], 12 * minutes);
    expect(hosts()).toEqual(always);
    expect(follower.state.edges.size()).toBe(0);
    await leader.stop();
    follower.elect();
    await settle();
    expect(hosts()).toEqual(always);
  });

  test('expires in the memory of a follower whose clock is ahead, too', async () => {
    const leader = await start({ life });
    const follower = await start({ life, leads: false });
    // The controllers round the time of a use to the hour. Only for the follower this use is in the
    // next hour.
    leader.pass(60 * minutes - 10_000);
    follower.pass(60 * minutes + 20_000);
    await used(leader);
    follower.report('web');
    follower.ask('web', 'cart');
    await live([leader, follower], 12 * minutes);
    expect(hosts()).toEqual(always);
    await leader.stop();
    follower.elect();
    await settle();
    expect(hosts()).toEqual(always);
  });

  test('of TCP stays while new or old connections report its address, and then expires', async () => {
    const [service] = kube.all('Service').filter(({ metadata }) => metadata.name === 'cart');
    if (!service) throw new Error('no service');
    kube.put({ ...service, spec: { ...service.spec, ports: [{ name: 'tcp', port: 80 }] } });
    const controller = await start({ life });
    const connected = {
      secondsSinceSeen: 0,
      unknown: { tcp: true, authority: '', destination: '10.96.0.1:80' },
    };
    controller.report('web', [connected]);
    await vi.waitFor(() => expect(hosts()).toEqual([...always, cart]));
    for (let times = 0; times < 3; times++) {
      await live([controller], 6 * minutes);
      controller.report('web', [connected]);
    }
    expect(hosts()).toContain(cart);
    await live([controller], 12 * minutes);
    expect(hosts()).toEqual(always);
  });
});

describe('the learning window', () => {
  test('must be over before a workload is narrowed, and survives a restart', async () => {
    const learning = { ...life, learningWindowMs: 10 * minutes };
    const first = await start({ life: learning });
    await live([first], 6 * minutes);
    expect([reason(), hosts()]).toEqual(['Learning', undefined]);
    await first.stop();
    const second = await start({ life: learning });
    second.pass(6 * minutes);
    await live([second], step);
    await vi.waitFor(() => expect(reason()).toBe('Learning'));
    await live([second], 5 * minutes);
    await vi.waitFor(() => expect([reason(), hosts()]).toEqual(['Enforced', always]));
  });

  test('is reported in observe too, and then the workload becomes ready', async () => {
    enable('observe');
    const controller = await start({ life: { ...life, learningWindowMs: 2 * minutes } });
    await live([controller], step);
    const ready = () => scope()?.status?.conditions[1];
    await vi.waitFor(() => expect(ready()).toMatchObject({ type: 'Ready', reason: 'Learning' }));
    await live([controller], 3 * minutes);
    await vi.waitFor(() => expect(ready()).toMatchObject({ status: 'True', reason: 'Ready' }));
    expect([reason(), hosts()]).toEqual(['Observing', undefined]);
  });
});

test('a namespace that is created again has nothing of its predecessor', async () => {
  const controller = await start({ life });
  await used(controller);
  const plurals = { Pod: 'pods', WorkloadScope: 'workloadscopes', Namespace: 'namespaces' };
  for (const [kind, plural] of Object.entries(plurals))
    for (const { metadata } of kube.all(kind))
      await kube.delete({ group: '', version: '', plural }, metadata.name, metadata.namespace);
  await settle();
  expect(controller.state.edges.size()).toBe(0);
  enable('enforce');
  for (const object of app('shop/web', '10.96.0.2', '10.1.0.2')) kube.put(object);
  controller.report('web');
  await vi.waitFor(() => expect(hosts()).toEqual(always));
});
