import { expect, test, vi } from 'vitest';
import { istio } from '../core/objects.ts';
import { cart, hosts, kube, start } from './shop.ts';

const eventsOf = (wanted: string) => kube.all('Event').filter(({ reason }) => reason === wanted);

test('a host that is imported but gets no route is held no more, and reported once', async () => {
  kube.put(istio('VirtualService', 'shop/cart', { hosts: ['cart'] }));
  const controller = await start();
  controller.report('web');
  await controller.lookThrough();
  expect(controller.ask('web', 'cart').strategy).toBe('hold');
  await vi.waitFor(() => expect(hosts()).toContain(cart));
  controller.pass(4_999);
  expect(controller.ask('web', 'cart').strategy).toBe('hold');
  await controller.lookThrough();
  expect(eventsOf('RouteMissing')).toEqual([]);
  controller.pass(1);
  for (let n = 0; n < 3; n++) {
    expect(controller.ask('web', 'cart')).toMatchObject({
      strategy: 'direct',
      otherwise: '',
      ttlSeconds: 5,
      reason: expect.stringMatching(/^no route after 5 s; VirtualService shop\/cart/),
    });
    await controller.lookThrough();
  }
  const [event, ...more] = eventsOf('RouteMissing');
  expect(event).toMatchObject({
    type: 'Warning',
    involvedObject: { kind: 'WorkloadScope', name: 'web', namespace: 'shop' },
    message: expect.stringContaining(cart),
  });
  expect(more).toEqual([]);
});

test('a follower also uses the fallback, and leaves the report to the leader', async () => {
  kube.put(istio('VirtualService', 'shop/cart', { hosts: ['cart'] }));
  const leader = await start();
  const follower = await start({ leads: false });
  leader.report('web');
  leader.ask('web', 'cart');
  await vi.waitFor(() => expect(hosts()).toContain(cart));
  await vi.waitFor(() => expect(follower.ask('web', 'cart').strategy).toBe('hold'));
  follower.pass(5_000);
  expect(follower.ask('web', 'cart').strategy).toBe('direct');
  await follower.lookThrough();
  expect(eventsOf('RouteMissing')).toEqual([]);
});
