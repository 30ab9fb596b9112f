import { pino } from 'pino';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { createNotices } from '../../../../companion/controller/reconcile/notices.ts';
import type { News, Sink } from '../../../../companion/controller/reconcile/sink.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { app, istio, type PodOptions, pod, service } from '../core/objects.ts';
import { always, cart, enable, hosts, kube, reason, scope, start } from './shop.ts';

/** The user's objects in the cluster, with the resulting reason and hosts of the scope of `web`. */
type Row = [string, KubeObject[], string, string[] | undefined];

const selecting = istio('Sidecar', 'shop/mine', {
  workloadSelector: { labels: { app: 'web' } },
  egress: [{ hosts: ['./*'] }],
});
const ofOthers = istio('Sidecar', 'shop/mine', { workloadSelector: { labels: { app: 'other' } } });
const ofNamespace = istio('Sidecar', 'shop/default', { egress: [{ hosts: ['bank/*'] }] });
const ofMesh = istio('Sidecar', 'istio-system/default', { egress: [{ hosts: ['shop/*'] }] });
const inRoot = istio('Sidecar', 'istio-system/some', {
  workloadSelector: { labels: { app: 'web' } },
  egress: [{ hosts: ['~/*'] }],
});
const bound = istio('Sidecar', 'shop/default', {
  egress: [{ bind: '127.0.0.1', captureMode: 'NONE', hosts: ['*/*'] }],
});
const portsOnly = istio('Sidecar', 'shop/default', {
  egress: [{ port: { number: 8080, protocol: 'HTTP', name: 'http' }, hosts: ['*/*'] }],
});
const mine = (exportTo: string) => service('shop/cart', { ip: '10.96.0.1', exportTo });

const rows: Row[] = [
  ['a Sidecar of a user that selects the workload', [selecting], 'ForeignSidecar', undefined],
  ['a Sidecar of a user that selects another workload', [ofOthers], 'Enforced', [...always, cart]],
  ['a default Sidecar of the namespace', [ofNamespace], 'Enforced', always],
  ['a default Sidecar of the mesh', [ofMesh], 'Enforced', [...always, cart]],
  [
    'a default Sidecar of the mesh and one of the namespace',
    [ofMesh, ofNamespace],
    'Enforced',
    always,
  ],
  ['a default Sidecar that binds each host', [bound], 'BoundListeners', undefined],
  ['a default Sidecar of ports of its own', [portsOnly], 'BoundListeners', undefined],
  ['a Sidecar with a selector in the root namespace', [inRoot], 'Enforced', [...always, cart]],
  ['a Service that is exported to its own namespace', [mine('.')], 'Enforced', [...always, cart]],
  ['a Service that is exported to nobody', [mine('~')], 'Enforced', always],
  ['a Service that is exported elsewhere', [mine('bank')], 'Enforced', always],
];

const cluster = 'outbound|80||cart.shop.svc.cluster.local';
const used = [{ cluster, secondsSinceSeen: 0 }];

describe('beside objects of users', () => {
  test.each(rows)('%s, created before the scope', async (_what, objects, expected, imported) => {
    for (const object of objects) kube.put(object);
    const controller = await start();
    controller.report('web', used);
    await controller.lookThrough();
    expect([reason(), hosts()]).toEqual([expected, imported]);
  });

  test.each(rows.slice(0, 8))(
    '%s, created after the scope, until it is deleted',
    async (_what, objects, why, imported) => {
      const controller = await start();
      controller.report('web', used);
      await controller.lookThrough();
      expect(hosts()).toEqual([...always, cart]);
      for (const object of objects) kube.put(object);
      await controller.lookThrough();
      expect([reason(), hosts()]).toEqual([why, imported]);
      for (const { metadata } of objects)
        await kube.delete(
          { group: '', version: '', plural: 'sidecars' },
          metadata.name,
          metadata.namespace,
        );
      await controller.lookThrough();
      expect([reason(), hosts()]).toEqual(['Enforced', [...always, cart]]);
    },
  );

  test('a Sidecar of a user that selects only some of its pods', async () => {
    kube.put(pod('shop/web-2', { ip: '10.1.0.9', labels: { app: 'web', track: 'canary' } }));
    kube.put(istio('Sidecar', 'shop/mine', { workloadSelector: { labels: { track: 'canary' } } }));
    const controller = await start();
    for (const name of ['web', 'web-2']) controller.report(name);
    await controller.lookThrough();
    expect([reason(), hosts()]).toEqual(['ForeignSidecar', undefined]);
  });
});

/** A pod in place of the workload `web`, the name of its scope, and the reason of the scope. */
type Kind = [string, PodOptions & { spec?: object }, string | undefined, string | undefined];

const owned = (kind: string, name: string) => ({ owner: { kind, name } });
const argo = { 'rollouts-pod-template-hash': '7d9f', app: 'web' };

const kinds: Kind[] = [
  ['of a Job', { ...owned('Job', 'migrate'), labels: { app: 'm' } }, 'migrate', 'Enforced'],
  [
    'of a CronJob',
    { ...owned('Job', 'report-29384756'), labels: { 'job-name': 'report-29384756', app: 'r' } },
    'report',
    'Enforced',
  ],
  ['of an Argo Rollout', { ...owned('ReplicaSet', 'web-7d9f'), labels: argo }, 'web', 'Enforced'],
  [
    'of an owner of some other kind',
    { ...owned('Game', 'chess'), labels: { a: 'b' } },
    'chess',
    'Enforced',
  ],
  [
    'without interception',
    { interception: 'NONE', labels: { app: 'web' } },
    'web',
    'NotIntercepted',
  ],
  ['without labels', { labels: {} }, 'web', 'NoLabels'],
  ['on the host network', { spec: { hostNetwork: true } }, undefined, undefined],
  [
    'of an injected gateway',
    { labels: { app: 'web' }, annotations: { 'inject.istio.io/templates': 'gateway' } },
    undefined,
    undefined,
  ],
  [
    'of a gateway or waypoint of the Gateway API',
    { labels: { 'gateway.networking.k8s.io/gateway-name': 'w' } },
    undefined,
    undefined,
  ],
  [
    'of a gateway without injection',
    { spec: { containers: [{ name: 'istio-proxy', args: ['proxy', 'router'] }] } },
    undefined,
    undefined,
  ],
  ['without a sidecar', { labels: { app: 'web' }, tlsMode: '' }, undefined, undefined],
];

test.each(kinds)('a pod %s', async (_what, { spec, ...options }, name, expected) => {
  await kube.delete({ group: '', version: '', plural: 'pods' }, 'web', 'shop');
  const object = pod('shop/web', { ip: '10.1.0.2', ...options });
  kube.put({ ...object, spec: { ...object.spec, ...spec } });
  const controller = await start();
  controller.report('web', used);
  await controller.lookThrough();
  const scopes = kube.all('WorkloadScope').filter(({ metadata }) => metadata.name !== 'cart');
  expect(scopes.map(({ metadata }) => metadata.name)).toEqual(name ? [name] : []);
  expect(name && reason(name)).toBe(expected);
  expect(name && hosts(name) !== undefined).toBe(name && expected === 'Enforced');
});

test('pods of one Deployment under several revisions of Istio share one scope', async () => {
  const of = (revision: string, hash: string) => ({
    ...owned('ReplicaSet', `web-${hash}`),
    labels: { app: 'web', 'istio.io/rev': revision, 'pod-template-hash': hash },
  });
  kube.put(pod('shop/web', { ip: '10.1.0.2', ...of('1-30', 'aaa') }));
  kube.put(pod('shop/web-2', { ip: '10.1.0.3', ...of('1-31', 'bbb') }));
  const controller = await start();
  for (const name of ['web', 'web-2']) controller.report(name);
  await controller.lookThrough();
  expect(reason()).toBe('Enforced');
  expect(scope()?.spec.selector.matchLabels).toEqual({ app: 'web' });
});

describe('a namespace in the ambient mesh', () => {
  const labels = { 'lazyscope.io/mode': 'enforce', 'istio.io/dataplane-mode': 'ambient' };
  beforeEach(() => {
    kube.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } });
  });

  test('is refused with the reason, also for pods with a sidecar', async () => {
    const controller = await start();
    controller.report('web', used);
    await controller.lookThrough();
    expect([reason(), hosts()]).toEqual(['Ambient', undefined]);
    expect(scope()?.status.conditions[0].message).toMatch(/ambient mesh/);
  });

  test('gets one Event, as does a namespace of an unknown mode', async () => {
    const { state, metrics } = await start();
    const told: string[] = [];
    const tell = async (about: KubeObject, { reason: why }: News) => {
      told.push(`${about.metadata.name} ${why}`);
    };
    const notices = createNotices({
      log: pino({ level: 'silent' }),
      state,
      sink: { mayWrite: () => true, tell } as Sink,
      metrics,
    });
    await notices.look();
    await notices.look();
    expect(told).toEqual(['shop Ambient']);
    enable('enforced');
    await vi.waitFor(() => expect(state.namespaces.get('shop')?.label).toBe('enforced'));
    await notices.look();
    enable('enforce');
    await vi.waitFor(() => expect(state.namespaces.get('shop')?.label).toBe('enforce'));
    await notices.look();
    expect(told).toEqual(['shop Ambient', 'shop UnknownMode']);
    enable('enforced');
    await vi.waitFor(() => expect(state.namespaces.get('shop')?.label).toBe('enforced'));
    await notices.look();
    expect((await metrics.unknownModes.get()).values[0]?.value).toBe(1);
    enable('observed');
    await vi.waitFor(() => expect(state.namespaces.get('shop')?.label).toBe('observed'));
    await notices.look();
    // The controller also reports a different mistake.
    expect(told.slice(2)).toEqual(['shop UnknownMode', 'shop UnknownMode']);
  });
});

test('a notice that cannot be made is logged, and ends nothing', async () => {
  const { state, metrics } = await start();
  const lines: string[] = [];
  const broken = {
    ...state,
    serviceModes: {
      ...state.serviceModes,
      unknown: () => {
        throw new Error('a bug');
      },
    },
  };
  const notices = createNotices({
    log: pino({ level: 'error' }, { write: (line) => void lines.push(line) }),
    state: broken,
    sink: { mayWrite: () => true, tell: async () => undefined } as unknown as Sink,
    metrics,
  });
  await expect(notices.look()).resolves.toBeUndefined();
  expect(lines.join()).toContain('a bug');
});

describe('a namespace that Istio does not discover', () => {
  const meshConfig = (mesh: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'istio', namespace: 'istio-system' },
    data: { mesh },
  });
  const selecting = 'discoverySelectors: [{matchLabels: {istio-discovery: enabled}}]';
  const put = (name: string, labels: Record<string, string>) =>
    kube.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
  const selected = { 'istio-discovery': 'enabled' };
  beforeEach(() => void put('lazyscope-system', selected));

  test('is refused with the reason, as long as discoverySelectors leave it out', async () => {
    const controller = await start();
    controller.report('web', used);
    await controller.lookThrough();
    expect([reason(), hosts()]).toEqual(['Enforced', [...always, cart]]);
    kube.put(meshConfig(selecting));
    await controller.lookThrough();
    expect([reason(), hosts()]).toEqual(['NotDiscovered', undefined]);
    expect(scope()?.status.conditions[0].message).toMatch(/discoverySelectors .* do not select it/);
    put('shop', { 'lazyscope.io/mode': 'enforce', ...selected });
    await controller.lookThrough();
    expect([reason(), hosts()]).toEqual(['Enforced', [...always, cart]]);
    // The namespace of the sentinel and the gateway.
    put('lazyscope-system', {});
    await controller.lookThrough();
    expect([reason(), hosts()]).toEqual(['NotDiscovered', undefined]);
    expect(scope()?.status.conditions[0].message).toContain('namespace lazyscope-system,');
  });

  test('is no destination: calls to it go as Istio sends them', async () => {
    for (const object of app('bank/pay', '10.96.0.7', '10.1.0.7')) kube.put(object);
    put('shop', { 'lazyscope.io/mode': 'enforce', ...selected });
    put('bank', selected);
    const controller = await start();
    controller.report('web');
    await controller.lookThrough();
    const ask = () => controller.ask('web', 'pay.bank', '10.96.0.7:80').strategy;
    expect(ask()).toBe('direct');
    kube.put(meshConfig(selecting));
    expect(ask()).toBe('direct');
    put('bank', {});
    expect(ask()).toBe('passthrough');
  });

  test('is still refused while the configuration of the mesh is broken', async () => {
    kube.put(meshConfig(selecting));
    const controller = await start();
    controller.report('web');
    expect(() => kube.put(meshConfig('discoverySelectors: 1'))).toThrow(/correct its key mesh/);
    await controller.lookThrough();
    expect([reason(), hosts()]).toEqual(['NotDiscovered', undefined]);
    await kube.delete({ group: '', version: '', plural: 'configmaps' }, 'istio', 'istio-system');
    controller.report('web', used);
    await controller.lookThrough();
    expect([reason(), hosts()]).toEqual(['Enforced', [...always, cart]]);
  });
});

describe('a workload without pods', () => {
  const days = 24 * 3_600_000;
  const pods = { group: '', version: '', plural: 'pods' };

  test('keeps its scope for its ttl, and loses it then', async () => {
    const controller = await start();
    controller.report('web', used);
    await controller.lookThrough();
    await kube.delete(pods, 'web', 'shop');
    await controller.lookThrough();
    expect([reason(), hosts()]).toEqual(['Enforced', [...always, cart]]);
    controller.pass(70_000);
    await controller.lookThrough();
    expect([reason(), hosts()]).toEqual(['NoProxies', [...always, cart]]);
    expect(scope()?.status).toMatchObject({ hostCount: 3, proxies: { summary: '0/0' } });
    controller.pass(3 * days);
    await controller.lookThrough();
    await controller.lookThrough();
    expect([scope(), hosts()]).toEqual([undefined, undefined]);
    expect(controller.state.edges.edgesFrom({ namespace: 'shop', owner: 'web' })).toEqual([]);
  });

  test('still has its scope when its pods are back in time', async () => {
    const controller = await start();
    controller.report('web', used);
    await controller.lookThrough();
    await kube.delete(pods, 'web', 'shop');
    await controller.lookThrough();
    controller.pass(2 * days);
    await controller.lookThrough();
    for (const object of app('shop/web', '10.96.0.2', '10.1.0.2')) kube.put(object);
    controller.report('web');
    controller.pass(2 * days);
    controller.report('web');
    await controller.lookThrough();
    expect([reason(), hosts()]).toEqual(['Enforced', [...always, cart]]);
    expect(scope()?.status.goneSince).toBeUndefined();
  });

  test('keeps the spec of its user, without a Sidecar', async () => {
    const controller = await start();
    controller.report('web');
    await controller.lookThrough();
    const before = scope();
    if (!before) throw new Error('no scope');
    kube.put({ ...before, spec: { ...before.spec, pins: [cart] } });
    await kube.delete(pods, 'web', 'shop');
    await controller.lookThrough();
    controller.pass(4 * days);
    await controller.lookThrough();
    await controller.lookThrough();
    expect([reason(), hosts()]).toEqual(['NoProxies', undefined]);
    expect(scope()?.spec.pins).toEqual([cart]);
  });
});

test('a renamed Deployment keeps its learned hosts under its new name', async () => {
  const learning = { life: { learningWindowMs: 3_600_000 } };
  const controller = await start(learning);
  const webHost = 'web.shop.svc.cluster.local';
  controller.report('web', used);
  controller.report('cart', [{ cluster: `outbound|80||${webHost}`, secondsSinceSeen: 0 }]);
  await controller.lookThrough();
  controller.pass(3_600_000);
  for (const name of ['web', 'cart']) controller.report(name);
  await controller.lookThrough();
  expect(reason()).toBe('Enforced');
  const selector = { 'service.istio.io/canonical-name': 'shop', app: 'web' };
  await kube.delete({ group: '', version: '', plural: 'pods' }, 'web', 'shop');
  kube.put(
    pod('shop/shop-1', { ip: '10.1.0.2', ...owned('StatefulSet', 'shop'), labels: selector }),
  );
  controller.report('shop-1');
  await controller.lookThrough();
  await controller.lookThrough();
  // The new workload has other labels, so it starts to learn anew, and the old scope does not block
  // it.
  expect([reason('shop'), hosts('web'), scope('web')]).toEqual(['Learning', undefined, undefined]);

  await kube.delete({ group: '', version: '', plural: 'pods' }, 'cart', 'shop');
  kube.put(
    pod('shop/cart-new', {
      ip: '10.1.0.8',
      ...owned('StatefulSet', 'basket'),
      labels: { app: 'cart' },
    }),
  );
  controller.report('cart-new');
  await controller.lookThrough();
  await controller.lookThrough();
  expect([reason('basket'), hosts('basket')]).toEqual(['Enforced', [...always, `shop/${webHost}`]]);
});
