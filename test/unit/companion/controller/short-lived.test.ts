import { expect, test, vi } from 'vitest';
import { pod } from '../core/objects.ts';
import { type Controller, kube, start } from './shop.ts';

const minute = 60_000;
const pods = { group: '', version: 'v1', plural: 'pods' };
const letters = 'bcdfghjklmnpqrstvwxz2456789';

function ending(n: number): string {
  return Array.from({ length: 5 }, (_, place) => letters[Math.floor(n / 27 ** place) % 27]).join(
    '',
  );
}

async function runOnce(controller: Controller, kind: string, name: string): Promise<void> {
  const path = `${name}-pod`;
  const labels = { team: 'ci', run: name };
  kube.put(pod(`shop/${path}`, { ip: '10.1.9.9', owner: { kind, name }, labels }));
  controller.report(path);
  await controller.lookThrough();
  await kube.delete(pods, path, 'shop');
  controller.pass(2 * minute);
  await controller.lookThrough();
}

const count = () => kube.all('WorkloadScope').length;

test.each([
  ['under new names', (n: number) => `build-${ending(n)}`, 'TaskRun', 1],
  ['by the minute', (n: number) => `nightly-${29384756 + n}`, 'Job', 1],
  // The scope of the last run may still exist while the next run starts.
  ['once each', (n: number) => `migrate-v${n}x`, 'Job', 2],
] as const)(
  'workloads that run %s keep the number of scopes flat',
  async (_, nameOf, kind, most) => {
    const controller = await start();
    for (const name of ['web', 'cart']) controller.report(name);
    await vi.waitFor(() => expect(count()).toBe(2));
    for (let n = 0; n < 60; n++) {
      await runOnce(controller, kind, nameOf(n));
      expect(count()).toBeLessThanOrEqual(2 + most);
    }
  },
);

test('a workload that runs once has no scope before it could be narrowed, and loses the scope with its pods', async () => {
  const controller = await start({ life: { learningWindowMs: 60 * minute } });
  controller.report('web');
  for (let n = 0; n < 30; n++) {
    await runOnce(controller, 'Job', `migrate-v${n}x`);
    expect(kube.all('WorkloadScope').map(({ metadata }) => metadata.name)).not.toContain(
      `migrate-v${n}x`,
    );
  }
  const owner = { kind: 'Job', name: 'long' };
  kube.put(pod('shop/long', { ip: '10.1.9.9', owner, labels: { app: 'long' } }));
  for (const pause of [0, 61 * minute]) {
    controller.pass(pause);
    controller.report('long');
    await controller.lookThrough();
  }
  const names = () => kube.all('WorkloadScope').map(({ metadata }) => metadata.name);
  await vi.waitFor(() => expect(names()).toContain('long'));
  await kube.delete(pods, 'long', 'shop');
  await controller.lookThrough();
  controller.pass(2 * minute);
  await controller.lookThrough();
  await controller.lookThrough();
  expect(names()).not.toContain('long');
});

test('a namespace has room for a fixed number of scopes, and gains room when workloads go', async () => {
  const controller = await start();
  for (let n = 0; n < 2_010; n++) {
    const options = { ip: `10.2.${n >> 8}.${n & 255}`, owner: { kind: 'Custom', name: `c${n}` } };
    kube.put(pod(`shop/c${n}`, { ...options, labels: { app: `c${n}` } }));
  }
  await vi.waitFor(() => expect(controller.state.workloads('shop').length).toBe(2_012));
  await controller.lookThrough();
  expect(count()).toBe(2_000);
  expect((await controller.metrics.scopesRefused.get()).values[0]?.value).toBeGreaterThan(0);
  for (let n = 0; n < 2_010; n++) await kube.delete(pods, `c${n}`, 'shop');
  await vi.waitFor(() => expect(controller.state.workloads('shop').length).toBe(2));
  await controller.lookThrough();
  controller.pass(2 * minute);
  await controller.lookThrough();
  expect(count()).toBeLessThanOrEqual(3);
}, 60_000);
