import { describe, expect, test, vi } from 'vitest';
import type { ApplyOptions, KubeObject } from '../../../../companion/kube/object.ts';
import { always, type Controller, cart, hosts, kube, scope, start } from './shop.ts';

const minutes = 60_000;
const life = { ttlMs: 10 * minutes, guard: { share: 1, count: 20 } };
const web = { namespace: 'shop', owner: 'web' };
const isStatus = (object: KubeObject, options: ApplyOptions) =>
  object.kind === 'WorkloadScope' && options.subresource === 'status';
const isSidecar = (object: KubeObject) => object.kind === 'Sidecar';

/** A workload whose only destination has just expired, before the controller's next evaluation. */
async function withOneTooOld(): Promise<Controller> {
  const controller = await start({ life });
  controller.report('web');
  controller.ask('web', 'cart');
  await vi.waitFor(() => expect(hosts()).toEqual([...always, cart]));
  for (let passed = 0; passed <= 10 * minutes; passed += 50_000) {
    for (const pod of ['web', 'cart']) controller.report(pod);
    await controller.lookThrough();
    controller.pass(50_000);
  }
  for (const pod of ['web', 'cart']) controller.report(pod);
  expect(hosts()).toContain(cart);
  return controller;
}

/**
 * Calls `meanwhile` before each matching write, until the returned function restores the old
 * behaviour. The write continues unless `meanwhile` throws.
 */
function during(
  isMeant: (object: KubeObject, options: ApplyOptions) => boolean,
  meanwhile: () => void,
) {
  const { apply } = kube;
  return vi.spyOn(kube, 'apply').mockImplementation(async (object, options) => {
    if (isMeant(object, options)) meanwhile();
    return apply(object, options);
  });
}

const refuse = () => {
  throw new Error('refused for this test');
};
const learned = ({ state }: Controller) => state.edges.edgesFrom(web).map(({ host }) => host);
const tellings = () => kube.all('Event').filter(({ reason }) => reason === 'Expired').length;
const expired = async ({ metrics }: Controller) =>
  (await metrics.expired.get()).values.reduce((sum, { value }) => sum + value, 0);

describe('a destination that has expired', () => {
  test.each([
    ['the Sidecar', isSidecar],
    ['the status', isStatus],
  ])('is kept, not counted and not reported while %s cannot be written', async (_, isMeant) => {
    const controller = await withOneTooOld();
    const writes = during(isMeant, refuse);
    const failures = controller.failures.length;
    controller.look();
    await vi.waitFor(() => expect(controller.failures.length).toBeGreaterThan(failures));
    expect(learned(controller)).toEqual(['cart.shop.svc.cluster.local']);
    expect([await expired(controller), tellings()]).toEqual([0, 0]);

    writes.mockRestore();
    await controller.lookThrough();
    expect(hosts()).toEqual(always);
    expect(learned(controller)).toEqual([]);
    expect([await expired(controller), tellings()]).toEqual([1, 1]);
  });

  test.each([
    ['the Sidecar', isSidecar],
    ['the status', isStatus],
  ])('stays known when it is used while %s is written, and comes back', async (_, isMeant) => {
    const controller = await withOneTooOld();
    const writes = during(isMeant, () => controller.ask('web', 'cart'));
    await controller.lookThrough();
    expect(writes).toHaveBeenCalled();
    writes.mockRestore();
    expect(learned(controller)).toEqual(['cart.shop.svc.cluster.local']);
    await controller.lookThrough();
    expect(hosts()).toEqual([...always, cart]);
  });
});

test('a status that could not be written is written by the next attempt at once', async () => {
  const controller = await start({ life });
  controller.report('web');
  await vi.waitFor(() => expect(hosts()).toEqual(always));
  controller.pass(2_000);
  const writes = during(isStatus, refuse);
  controller.ask('web', 'cart');
  await vi.waitFor(() => expect(hosts()).toEqual([...always, cart]));
  await vi.waitFor(() => expect(controller.failures.length).toBeGreaterThan(0));
  expect(scope()?.status.hosts).not.toContainEqual(expect.objectContaining({ host: cart }));
  writes.mockRestore();
  await controller.lookThrough();
  expect(scope()?.status.hosts).toContainEqual(expect.objectContaining({ host: cart }));
});
