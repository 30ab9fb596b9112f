import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import { burstMs } from '../../../../companion/controller/nodes/messages.ts';
import { app } from '../core/objects.ts';
import { cart, hosts, kube, start } from './shop.ts';

afterEach(() => vi.useRealTimers());

/** A controller that has written the first scope, and whose time stands still from then on. */
async function startStill(strategy: string) {
  kube.put({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name: 'shop',
      labels: { 'lazyscope.io/mode': 'enforce' },
      annotations: { 'lazyscope.io/first-call': strategy },
    },
  });
  for (const object of app('lazyscope-system/lazyscope-egress', '10.96.0.9', '10.1.0.9'))
    kube.put(object);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const controller = await start();
  controller.report('web');
  controller.pass(60_000);
  for (let n = 0; n < 5; n++) {
    vi.advanceTimersByTime(1_000);
    await turns();
  }
  expect(hosts()).toBeDefined();
  return controller;
}

/** Everything that needs no time. */
async function turns(): Promise<void> {
  for (let n = 0; n < 20; n++) await turn();
}

test.each(['gateway', 'direct'])(
  'first calls by %s that come in a burst share one write, after the burst',
  async (strategy) => {
    const controller = await startStill(strategy);
    expect(controller.ask('web', 'cart').strategy).toBe(strategy);
    await turns();
    expect(hosts()).not.toContain(cart);
    vi.advanceTimersByTime(burstMs);
    await turns();
    expect(hosts()).toContain(cart);
  },
);

test('the scope that a held call waits for is written at once', async () => {
  const controller = await startStill('hold');
  expect(controller.ask('web', 'cart').strategy).toBe('hold');
  await turns();
  expect(hosts()).toContain(cart);
});
