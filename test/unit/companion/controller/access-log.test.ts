import pino from 'pino';
import { expect, test, vi } from 'vitest';
import { createNotices } from '../../../../companion/controller/reconcile/notices.ts';
import type { News, Sink } from '../../../../companion/controller/reconcile/sink.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { app } from '../core/objects.ts';
import { type Controller, hosts, kube, reason, scope, start } from './shop.ts';

// The namespace `shop` without the filter: what its proxies have instead is one EnvoyFilter.

const installed: KubeObject = {
  apiVersion: 'networking.istio.io/v1alpha3',
  kind: 'EnvoyFilter',
  metadata: {
    name: 'lazyscope-access-log',
    namespace: 'shop',
    annotations: {
      'lazyscope.io/service-cidr': '10.96.0.0/16',
      'lazyscope.io/plain-addresses': '10.96.0.8|10.96.0.9',
    },
  },
};

const bare = 'bank/bare.bank.svc.cluster.local';

function setSource(source: string): void {
  const labels = { 'lazyscope.io/mode': 'enforce', 'lazyscope.io/source': source };
  kube.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } });
}

async function withoutFilter(): Promise<void> {
  for (const kind of ['wasmplugins', 'envoyfilters'])
    for (const name of ['lazyscope', 'lazyscope-tcp'])
      await kube.delete({ group: '', version: '', plural: kind }, name, 'shop').catch(() => {});
}

async function scoped(): Promise<Controller> {
  setSource('access-log');
  kube.put(installed);
  for (const object of app('bank/bare', '10.96.0.7', '10.1.0.7', { tlsMode: '' })) kube.put(object);
  const controller = await start();
  controller.report('web');
  await vi.waitFor(() => expect(reason()).toBe('Enforced'));
  return controller;
}

test('a scope has the hosts that mutual TLS does not reach, although nobody called them', async () => {
  await scoped();
  await withoutFilter();
  await vi.waitFor(() => expect(hosts()).toContain(bare));
  expect(scope()?.status.hosts).toContainEqual(
    expect.objectContaining({ host: bare, reason: 'eager' }),
  );
  expect(reason()).toBe('Enforced');
});

test('a scope is withdrawn at once when the configuration of the access log goes, and returns with it', async () => {
  await scoped();
  await kube.delete(
    { group: '', version: '', plural: 'envoyfilters' },
    installed.metadata.name,
    'shop',
  );
  await vi.waitFor(() => expect([reason(), hosts()]).toEqual(['FilterMissing', undefined]));
  expect(scope()?.status.conditions[0].message).toContain('manifests/namespace-access-log');
  kube.put(installed);
  await vi.waitFor(() => expect(hosts()).toContain(bare));
});

test('a configuration that does not say which addresses are Services is as good as none', async () => {
  await scoped();
  kube.put({ ...installed, metadata: { ...installed.metadata, annotations: {} } });
  await vi.waitFor(() => expect([reason(), hosts()]).toEqual(['FilterMissing', undefined]));
  expect(scope()?.status.conditions[0].message).toContain('serviceCidr');
});

test.each([
  ['10.96.0.0/16,none/0', 'Enforced', ''],
  ['10.96.0.0/16,fd00:10:96::/112', 'Enforced', ''],
  ['10.96.1.0/16,none/0', 'FilterMissing', 'Write 10.96.0.0/16 in'],
  ['10.96.0.0/16,FD00:10:96::/112', 'FilterMissing', 'Write fd00:10:96::/112 in'],
  ['10.96.0.0/16,10.97.0.0', 'FilterMissing', 'Write a range such as'],
])('with the ranges %s, which Envoy compares as text: %s', async (ranges, expected, told) => {
  const controller = await scoped();
  const annotations = { 'lazyscope.io/service-cidr': ranges };
  kube.put({ ...installed, metadata: { ...installed.metadata, annotations } });
  controller.look();
  await vi.waitFor(() => expect(reason()).toBe(expected));
  expect(scope()?.status.conditions[0].message).toContain(told);
});

test('a Service out of sight that takes no mutual TLS withdraws the scope, with its address and the remedy', async () => {
  const controller = await scoped();
  const hide = ([object, ...rest]: KubeObject[]) => {
    if (!object) throw new Error('no Service');
    const annotations = { 'networking.istio.io/exportTo': '.' };
    return [{ ...object, metadata: { ...object.metadata, annotations } }, ...rest];
  };
  const put = (objects: KubeObject[]) => {
    for (const object of objects) kube.put(object);
  };
  // One of plainAddresses.
  put(hide(app('bank/known', '10.96.0.8', '10.1.0.8', { tlsMode: '' })));
  // One of Lazyscope's own.
  put(hide(app('lazyscope-system/lazyscope-node', '10.96.0.5', '10.1.0.5', { tlsMode: '' })));
  put(hide(app('bank/hidden', '10.96.0.6', '10.1.0.6', { tlsMode: '' })));
  controller.look();
  await vi.waitFor(() => expect([reason(), hosts()]).toEqual(['PlainBeyondScope', undefined]));
  const { message } = scope()?.status.conditions[0] ?? {};
  expect(message).toContain('1 ClusterIP of Services');
  expect(message).toContain('10.96.0.6 (hidden.bank.svc.cluster.local)');
});

test('with the filter installed too, the label alone says which of the two counts', async () => {
  await scoped();
  setSource('wasm');
  await vi.waitFor(() => expect(hosts()).not.toContain(bare));
  expect(reason()).toBe('Enforced');
  setSource('access-log');
  await vi.waitFor(() => expect(hosts()).toContain(bare));
});

test('a source that does not exist changes nothing, and one Event on the namespace names it and the remedy', async () => {
  const { state, metrics } = await scoped();
  const told: string[] = [];
  const tell = async (about: KubeObject, { reason: why, message, isWarning }: News) => {
    const { kind, metadata } = about;
    told.push(`${kind} ${metadata.name} ${why} ${isWarning ? 'Warning' : 'Normal'} ${message}`);
  };
  const notices = createNotices({
    ...{ log: pino({ level: 'silent' }), state, metrics },
    sink: { mayWrite: () => true, tell } as Sink,
  });
  const look = async (source: string) => {
    setSource(source);
    await vi.waitFor(() =>
      expect(state.namespaces.get('shop')?.labels?.['lazyscope.io/source']).toBe(source),
    );
    await notices.look();
    await notices.look();
    return (await metrics.unknownModes.get()).values[0]?.value;
  };
  expect(await look('acces-log')).toBe(1);
  expect(told).toEqual([
    'Namespace shop UnknownSource Warning Label lazyscope.io/source: "acces-log" is not one of wasm, ' +
      'access-log. The source in force stays. Set one of these values, or remove the label: wasm.',
  ]);
  expect([reason(), hosts()]).toEqual(['Enforced', expect.arrayContaining([bare])]);
  expect(await look('access-log')).toBe(0);
  expect(told).toHaveLength(1);
});
