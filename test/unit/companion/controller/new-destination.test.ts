import { afterEach, beforeEach, expect, test } from 'vitest';
import { app, ourSidecar, service, slice } from '../core/objects.ts';
import { createFakeKube, type FakeKube } from './fake-kube.ts';
import { startController } from './harness.ts';

let kube: FakeKube;
let controller: Awaited<ReturnType<typeof startController>>;

/** A ready gateway, the strategy `gateway`, and a caller whose scope is in force. */
beforeEach(async () => {
  kube = createFakeKube();
  kube.put({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name: 'shop',
      labels: { 'lazyscope.io/mode': 'enforce' },
      annotations: { 'lazyscope.io/first-call': 'gateway' },
    },
  });
  for (const object of [
    ...app('lazyscope-system/lazyscope-egress', '10.96.0.9', '10.1.0.9'),
    ...app('shop/web', '10.96.0.2', '10.1.0.2'),
    ...app('shop/old', '10.96.0.3', '10.1.0.3'),
    ourSidecar('shop/web', { app: 'web' }),
  ])
    kube.put(object);
  controller = await startController(kube, { leads: false });
});

afterEach(() => controller.stop());

const addresses: Record<string, string> = { cart: '10.96.0.1:80', old: '10.96.0.3:80' };
const strategyOf = (name: string) => controller.ask('web', name, addresses[name]).strategy;

test('a Service that exists when the controller starts is not new', () => {
  expect(strategyOf('old')).toBe('gateway');
});

test('a Service is new for five seconds from when it can be reached', () => {
  const [itself, pod, endpoints] = app('shop/cart', '10.96.0.1', '10.1.0.1');
  if (!itself || !pod || !endpoints) throw new Error('incomplete');
  kube.put(endpoints);
  kube.put(pod);
  controller.pass(60_000);
  kube.put(itself);
  expect(strategyOf('cart')).toBe('direct');
  controller.pass(4_999);
  expect(strategyOf('cart')).toBe('direct');
  controller.pass(1);
  expect(strategyOf('cart')).toBe('gateway');
});

test('a Service is new again when it has its first endpoint, not with each further one', () => {
  const old = { ip: '10.1.0.3', pod: 'old' };
  kube.put(slice('shop/old', [{ ...old, ready: false }]));
  controller.pass(60_000);
  kube.put(slice('shop/old', [old]));
  expect(strategyOf('old')).toBe('direct');
  controller.pass(5_000);
  kube.put(slice('shop/old', [old, { ip: '10.1.0.2', pod: 'web' }]));
  kube.put(service('shop/old', { ip: '10.96.0.3' }));
  expect(strategyOf('old')).toBe('gateway');
});
