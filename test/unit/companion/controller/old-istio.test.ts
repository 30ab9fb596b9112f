import { expect, test, vi } from 'vitest';
import { always, cart, hosts, kube, reason, start } from './shop.ts';

const used = [{ cluster: 'outbound|80||cart.shop.svc.cluster.local', secondsSinceSeen: 0 }];

test('an Istio without TrafficExtensions narrows nothing; an upgrade of its definitions helps', async () => {
  kube.define('trafficextensions', false);
  const controller = await start();
  controller.report('web', used);
  await controller.lookThrough();
  expect([reason(), hosts()]).toEqual(['IstioTooOld', undefined]);
  const told = kube.all('Event').filter((event) => event.reason === 'IstioTooOld');
  expect(told.map(({ type }) => type)).toContain('Warning');
  kube.define('trafficextensions', true);
  await vi.waitFor(() => expect(reason()).toBe('Enforced'));
  // Definitions that go later return nobody to full configuration.
  kube.define('trafficextensions', false);
  await controller.lookThrough();
  expect([reason(), hosts()]).toEqual(['Enforced', [...always, cart]]);
});
