import { describe, expect, test, vi } from 'vitest';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { istio, pod, service } from '../core/objects.ts';
import {
  always,
  type Controller,
  cart,
  enable,
  filterObjects,
  hosts,
  kube,
  reason,
  scope,
  settle,
  start,
} from './shop.ts';

const minutes = 60_000;

async function scoped(options?: Parameters<typeof start>[0]): Promise<Controller> {
  const controller = await start(options);
  controller.report('web');
  controller.ask('web', 'cart');
  await vi.waitFor(() => expect(hosts()).toEqual([...always, cart]));
  await vi.waitFor(() => expect(reason()).toBe('Enforced'));
  return controller;
}

const resources: Record<string, string> = {
  EnvoyFilter: 'envoyfilters',
  WasmPlugin: 'wasmplugins',
  Pod: 'pods',
  WorkloadScope: 'workloadscopes',
};

async function drop({ kind, metadata }: KubeObject): Promise<void> {
  const resource = { group: '', version: '', plural: resources[kind] ?? '' };
  await kube.delete(resource, metadata.name, metadata.namespace);
}

function warnings(): string[] {
  const events = kube.all('Event').filter(({ type }) => type === 'Warning');
  const ofWeb = events.filter(({ involvedObject }) => involvedObject.name === 'web');
  return ofWeb.map(({ reason: why }) => String(why));
}

describe('a scope is withdrawn', () => {
  test.each(
    filterObjects('shop').map((object) => [`${object.kind} ${object.metadata.name}`, object]),
  )('at once when %s goes, and restored when it is back', async (name, object) => {
    await scoped();
    await drop(object as KubeObject);
    await vi.waitFor(() => expect(hosts()).toBeUndefined());
    await vi.waitFor(() => expect(reason()).toBe('FilterMissing'));
    expect(scope()?.status.conditions[0].message).toContain(name);
    await vi.waitFor(() => expect(warnings()).toEqual(['FilterMissing']));
    kube.put(object as KubeObject);
    await vi.waitFor(() => expect(hosts()).toEqual([...always, cart]));
  });

  test.each([
    ['EnvoyFilter lazyscope', { workloadSelector: { labels: { app: 'other' } } }],
    ['WasmPlugin lazyscope', { selector: { matchLabels: { app: 'other' } } }],
    ['WasmPlugin lazyscope-tcp', { selector: { matchLabels: { app: 'other' } } }],
  ])('at once when the selector of %s leaves its pods out', async (name, spec) => {
    await scoped();
    const part = filterObjects('shop').find(
      (each) => `${each.kind} ${each.metadata.name}` === name,
    );
    if (!part) throw new Error(`no ${name}`);
    kube.put({ ...part, spec });
    await vi.waitFor(() => expect([reason(), hosts()]).toEqual(['FilterMissing', undefined]));
    expect(scope()?.status.conditions[0].message).toContain(name);
    const own = JSON.parse(JSON.stringify(spec).replace('other', 'web'));
    kube.put({ ...part, spec: own });
    await vi.waitFor(() => expect([reason(), hosts()]).toEqual(['Enforced', [...always, cart]]));
  });

  test('when a part of the filter is about to go', async () => {
    await scoped();
    const [first] = kube.all('EnvoyFilter');
    if (!first) throw new Error('no EnvoyFilter');
    const deletionTimestamp = '2026-01-01T00:00:00Z';
    kube.put({ ...first, metadata: { ...first.metadata, deletionTimestamp } });
    await vi.waitFor(() => expect(hosts()).toBeUndefined());
  });

  test('when a proxy is silent for long, and restored when it reports again', async () => {
    const controller = await scoped();
    controller.pass(5 * minutes);
    await controller.lookThrough();
    expect(hosts()).toContain(cart);
    controller.pass(1);
    await controller.lookThrough();
    expect([hosts(), reason()]).toEqual([undefined, 'ProxiesSilent']);
    expect(scope()?.status.silentSince).toBeDefined();
    controller.report('web');
    await vi.waitFor(() => expect(hosts()).toEqual([...always, cart]));
    await vi.waitFor(() => expect(scope()?.status.silentSince).toBeUndefined());
  });

  test('when a pod runs without the filter, after the same time', async () => {
    const controller = await scoped();
    kube.put(pod('shop/web-2', { ip: '10.1.0.9', labels: { app: 'web' } }));
    await controller.lookThrough();
    for (let minute = 0; minute < 5; minute++) {
      controller.pass(minutes);
      controller.report('web');
      await controller.lookThrough();
    }
    expect(hosts('web')).toContain(cart);
    controller.pass(1);
    await controller.lookThrough();
    expect([hosts(), reason()]).toEqual([undefined, 'ProxiesSilent']);
  });

  test('not because the controller was down', async () => {
    await (await scoped()).stop();
    const second = await start();
    second.pass(4 * minutes);
    await second.lookThrough();
    expect(hosts()).toContain(cart);
  });

  test('when its namespace is deleted, and nothing more is written into the namespace', async () => {
    const controller = await scoped();
    const deletionTimestamp = '2026-01-01T00:00:00Z';
    const labels = { 'lazyscope.io/mode': 'enforce' };
    const metadata = { name: 'shop', labels, deletionTimestamp };
    kube.put({ apiVersion: 'v1', kind: 'Namespace', metadata });
    await vi.waitFor(() => expect(hosts()).toBeUndefined());
    kube.writes.length = 0;
    controller.report('cart');
    await controller.lookThrough();
    expect(kube.writes).toEqual([]);
  });

  test('and deleted when the label of its namespace goes, but the user’s spec stays', async () => {
    const controller = await scoped();
    controller.report('cart');
    await vi.waitFor(() => expect(hosts('cart')).toEqual(always));
    const mine = scope('cart');
    if (!mine) throw new Error('no scope');
    kube.put({ ...mine, spec: { ...mine.spec, pins: ['bank/ledger'] } });
    enable();
    await vi.waitFor(() => expect(kube.all('Sidecar')).toEqual([]));
    await vi.waitFor(() => expect(scope('web')).toBeUndefined());
    await vi.waitFor(() => expect(reason('cart')).toBe('Off'));
    await settle();
    const order = kube.writes.filter((write) => write.startsWith('delete'));
    expect(order.indexOf('delete Sidecar shop/lazyscope-web')).toBeLessThan(
      order.indexOf('delete WorkloadScope shop/web'),
    );
  });
});

describe('one workload', () => {
  const annotated = (mode: string) => {
    const object = service('shop/web', { ip: '10.96.0.2' });
    const annotations = { 'lazyscope.io/mode': mode };
    return {
      ...object,
      metadata: { ...object.metadata, annotations },
      spec: { ...object.spec, selector: { app: 'web' } },
    };
  };
  const cases = [
    ['observe', 'enforce', 'Enforced'],
    ['off', 'enforce', 'Enforced'],
    ['enforce', 'observe', 'Observing'],
    ['enforce', 'off', 'Off'],
    ['off', 'observe', 'Observing'],
  ];

  test.each(cases)(
    'of a namespace in %s can be in %s by its Service',
    async (of, own, expected) => {
      enable(of);
      kube.put(annotated(own ?? ''));
      const controller = await start();
      controller.report('web');
      controller.report('cart');
      await controller.lookThrough();
      await vi.waitFor(() => expect(reason('web')).toBe(expected));
      expect(hosts('web') !== undefined).toBe(own === 'enforce');
      expect(hosts('cart') !== undefined).toBe(of === 'enforce');
      kube.put(service('shop/web', { ip: '10.96.0.2' }));
      await vi.waitFor(() => expect(reason('web')).toBe(reason('cart')));
    },
  );

  test.each(cases)('of a namespace in %s can be in %s by its scope', async (of, own, expected) => {
    enable(of);
    const controller = await start();
    controller.report('web');
    await controller.lookThrough();
    const before = scope();
    if (!before) throw new Error('no scope');
    // The Service asks for another mode, but the mode of the scope takes precedence.
    kube.put(annotated('off'));
    kube.put({ ...before, spec: { ...before.spec, mode: own } });
    await vi.waitFor(() => expect(reason('web')).toBe(expected));
    expect(hosts('web') !== undefined).toBe(own === 'enforce');
  });

  test('takes the most careful mode of several Services', async () => {
    kube.put(annotated('enforce'));
    const other = annotated('observe');
    kube.put({ ...other, metadata: { ...other.metadata, name: 'web-too' } });
    const controller = await start();
    controller.report('web');
    await vi.waitFor(() => expect(reason('web')).toBe('Observing'));
  });

  test('of a namespace without the label stays unscoped, whatever mode it asks for', async () => {
    enable();
    kube.put(annotated('enforce'));
    const controller = await start();
    controller.report('web');
    await controller.lookThrough();
    await settle();
    expect(kube.writes).toEqual([]);
  });
});

describe('a misspelt mode', () => {
  const slips = ['enforced', 'Enforce', ' enforce', 'of', ''];
  const ofService = (mode: string) => {
    const object = service('shop/web', { ip: '10.96.0.2' });
    const annotations = { 'lazyscope.io/mode': mode };
    const metadata = { ...object.metadata, annotations };
    return { ...object, metadata, spec: { ...object.spec, selector: { app: 'web' } } };
  };

  test.each(slips)('%j of a namespace that never had a valid mode is off', async (slip) => {
    const labels = { 'lazyscope.io/mode': slip };
    kube.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } });
    const controller = await start();
    controller.report('web');
    await controller.lookThrough();
    expect([reason(), hosts()]).toEqual(['Off', undefined]);
  });

  test.each(slips)('%j of a Service that never had a valid mode is off', async (slip) => {
    kube.put(ofService(slip));
    const controller = await start();
    controller.report('web');
    controller.report('cart');
    await controller.lookThrough();
    expect([reason('web'), reason('cart')]).toEqual(['Off', 'Enforced']);
  });

  test.each(slips)(
    '%j withdraws no scope, by the label, by a Service or after a restart',
    async (slip) => {
      const controller = await scoped();
      const labels = { 'lazyscope.io/mode': slip };
      kube.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } });
      await controller.lookThrough();
      expect([reason(), hosts()]).toEqual(['Enforced', [...always, cart]]);
      await controller.stop();
      const second = await start();
      second.report('web');
      kube.put(ofService(slip));
      await second.lookThrough();
      expect([reason(), hosts()]).toEqual(['Enforced', [...always, cart]]);
      enable('off');
      kube.put(ofService('off'));
      await vi.waitFor(() => expect([reason(), hosts()]).toEqual(['Off', undefined]));
    },
  );

  test('of one Service does not overrule a valid off of another', async () => {
    const other = ofService('off');
    kube.put(ofService('enfroce'));
    kube.put({ ...other, metadata: { ...other.metadata, name: 'web-too' } });
    const controller = await start();
    controller.report('web');
    await controller.lookThrough();
    expect([reason(), hosts()]).toEqual(['Off', undefined]);
  });
});

test('a new VirtualService widens a scope even while a pod is silent', async () => {
  const controller = await scoped();
  controller.pass(2 * minutes);
  kube.put(istio('VirtualService', 'routing/cart', { hosts: ['cart.shop.svc.cluster.local'] }));
  await controller.lookThrough();
  expect(hosts()).toContain('routing/cart.shop.svc.cluster.local');
});
