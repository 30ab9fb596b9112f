import { describe, expect, test, vi } from 'vitest';
import { pod } from '../core/objects.ts';
import { always, type Controller, cart, hosts, kube, reason, scope, start } from './shop.ts';

const minutes = 60_000;
const count = 20;
const ready = { type: 'Ready', status: 'False' };
const containersReady = { type: 'ContainersReady', status: 'True' };

/** Creates the n-th pod of `web`, on its own node. The first pod is the one of `shop.ts`. */
function place(n: number, isLost = false): void {
  const name = n === 1 ? 'web' : `web-${n}`;
  const ip = n === 1 ? '10.1.0.2' : `10.1.1.${n}`;
  const owner = { kind: 'StatefulSet', name: 'web' };
  const conditions = isLost ? [ready, containersReady] : [];
  const labels = { app: 'web' };
  kube.put(pod(`shop/${name}`, { ip, labels, owner, conditions, node: `node-${n}` }));
}

/** All proxies report, except those on the given nodes. */
function report(controller: Controller, ...but: number[]): void {
  for (let n = 1; n <= count; n++) {
    if (!but.includes(n))
      controller.report(n === 1 ? 'web' : `web-${n}`, [], { node: `node-${n}` });
  }
}

async function scoped(): Promise<Controller> {
  for (let n = 1; n <= count; n++) place(n);
  const controller = await start();
  for (let n = 3; n <= count; n++) controller.messages.onOpened(`node-${n}`);
  await vi.waitFor(() => expect(controller.state.workloads('shop')).toHaveLength(2));
  report(controller);
  controller.ask('web', 'cart');
  await vi.waitFor(() => expect(hosts()).toEqual([...always, cart]));
  return controller;
}

async function live(controller: Controller, spanMs: number, ...but: number[]): Promise<void> {
  for (let passed = 0; passed < spanMs; passed += minutes) {
    controller.pass(minutes);
    report(controller, ...but);
    await controller.lookThrough();
  }
}

function pending(): string | undefined {
  const conditions: { type: string; reason: string }[] = scope()?.status.conditions ?? [];
  return conditions.find(({ type }) => type === 'WithdrawalPending')?.reason;
}

describe('of a workload with a pod on each of twenty nodes', () => {
  test('no scope is withdrawn for a node that is lost for good', async () => {
    const controller = await scoped();
    controller.messages.onClosed('node-20');
    await live(controller, 10 * minutes, 20);
    expect([reason(), hosts(), pending()]).toEqual(['Enforced', [...always, cart], 'NodeUnheard']);
    place(20, true);
    await vi.waitFor(() =>
      expect(controller.state.catalog.pod('shop', 'web-20')?.nodeLost).toBe(true),
    );
    await live(controller, 2 * minutes, 20);
    expect([reason(), pending()]).toEqual(['Enforced', undefined]);
    expect(scope()?.status.proxies.total).toBe(19);
  });

  test('a scope is created while a node is lost', async () => {
    for (let n = 1; n <= count; n++) place(n, n === 20);
    const controller = await start();
    await vi.waitFor(() => expect(controller.state.workloads('shop')).toHaveLength(2));
    report(controller, 20);
    await controller.lookThrough();
    expect(reason()).toBe('Enforced');
  });

  test('no scope is withdrawn while a companion crash-loops, or while no node reports at all', async () => {
    const controller = await scoped();
    for (let n = 0; n < 10; n++) {
      controller.messages.onClosed('node-20');
      await live(controller, minutes, 20);
      controller.messages.onOpened('node-20');
    }
    expect([reason(), pending()]).toEqual(['Enforced', 'NodeUnheard']);
    for (let n = 1; n <= count; n++) controller.messages.onClosed(`node-${n}`);
    controller.pass(20 * minutes);
    await controller.lookThrough();
    expect([reason(), pending()]).toEqual(['Enforced', 'Deaf']);
    expect(hosts()).toEqual([...always, cart]);
    const told = kube.all('Event').filter(({ reason: why }) => why === 'WithdrawalPending');
    expect(told.map(({ type }) => type)).toEqual(['Warning', 'Warning']);
  });

  test('one broken filter withdraws no scope, and a quarter of them does', async () => {
    const controller = await scoped();
    await live(controller, 10 * minutes, 2);
    expect([reason(), pending()]).toEqual(['Enforced', 'BelowQuorum']);
    await live(controller, 6 * minutes, 2, 3, 4, 5, 6);
    expect([reason(), hosts(), pending()]).toEqual(['ProxiesSilent', undefined, undefined]);
    report(controller);
    await vi.waitFor(() => expect(hosts()).toEqual([...always, cart]));
  });
});

test('a failed write does not cost the budget twice, and a withdrawal beyond the budget waits', async () => {
  const withdrawal = { workloadsPerMinute: 1, bytesPerMinute: 1e9 };
  const controller = await start({ life: { withdrawal } });
  controller.report('web');
  controller.report('cart');
  await vi.waitFor(() => expect([hosts('web'), hosts('cart')]).toEqual([always, always]));
  controller.pass(5 * minutes + 1);
  await controller.lookThrough();
  const left = () => ['web', 'cart'].filter((name) => hosts(name) !== undefined);
  expect(left()).toHaveLength(1);
  await controller.lookThrough();
  const [waiting = ''] = left();
  expect(scope(waiting)?.status.conditions).toContainEqual(
    expect.objectContaining({ type: 'WithdrawalPending', reason: 'Budget' }),
  );
  controller.pass(minutes);
  await controller.lookThrough();
  expect(left()).toEqual([]);
});
