import { expect, test, vi } from 'vitest';
import { always, type Controller, cart, hosts, reason, scope, start } from './shop.ts';

// What the access log of a proxy says, in place of a filter.

const minutes = 60_000;
const step = 50_000;
const life = { ttlMs: 10 * minutes, guard: { share: 1, count: 20 } };
const unknown = { tcp: false, authority: 'cart', destination: '10.96.0.1:80' };

/** All proxies are heard; `unbroken` gives the seconds since the log of `web` lost something. */
async function live(controller: Controller, ms: number, unbroken: (passed: number) => number) {
  for (let passed = 0; passed < ms; passed += step) {
    controller.pass(step);
    for (const pod of ['web', 'cart']) {
      const secondsUnbroken = pod === 'web' ? unbroken((passed + step) / 1000) : 100_000;
      controller.report(pod, [], { log: { source: 'access-log', secondsUnbroken } });
    }
    await controller.lookThrough();
  }
}

async function used(controller: Controller): Promise<void> {
  const log = { source: 'access-log', secondsUnbroken: 100_000 };
  controller.report('web', [{ unknown, secondsSinceSeen: 0, count: 1 }], { log });
  await vi.waitFor(() => expect(hosts()).toEqual([...always, cart]));
}

test('an unknown call of an access log is learned at once, and its host leaves after the ttl', async () => {
  const controller = await start({ life });
  await used(controller);
  expect(reason()).toBe('Enforced');
  await live(controller, 13 * minutes, (seconds) => 100_000 + seconds);
  expect(hosts()).toEqual(always);
});

test('no host leaves while the access log keeps losing entries', async () => {
  const controller = await start({ life });
  await used(controller);
  await live(controller, 30 * minutes, () => 20);
  expect(hosts()).toContain(cart);
  await live(controller, 13 * minutes, (seconds) => seconds);
  expect(hosts()).toEqual(always);
});

test('a proxy whose access log nobody heard does not report', async () => {
  const controller = await start({ life });
  controller.report('web', [], { log: { source: '', secondsUnbroken: 0 } });
  await controller.lookThrough();
  expect(scope()?.status.conditions).toContainEqual(
    expect.objectContaining({ reason: 'ProxiesNotReporting' }),
  );
});
