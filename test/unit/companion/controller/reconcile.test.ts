import { describe, expect, test, vi } from 'vitest';
import { app, istio, service } from '../core/objects.ts';
import { always, cart, enable, hosts, kube, reason, scope, settle, start } from './shop.ts';

describe('a namespace in enforce', () => {
  test('has its workloads scoped when their proxies report, not before', async () => {
    const controller = await start();
    controller.look();
    await vi.waitFor(() => expect(reason()).toBe('ProxiesNotReporting'));
    expect(hosts()).toBeUndefined();
    controller.report('web');
    await vi.waitFor(() => expect(hosts()).toEqual(always));
    await vi.waitFor(() => expect(reason()).toBe('Enforced'));
    expect(scope()?.status).toMatchObject({
      mode: 'enforce',
      hostCount: 2,
      proxies: { total: 1, reporting: 1, scoped: 1, summary: '1/1' },
      clusters: { before: 2010 },
    });
    expect(hosts('cart')).toBeUndefined();
  });

  test('is narrowed when its proxies have been measured, and shows the gain', async () => {
    const controller = await start();
    controller.report('web', [], { clusters: 0 });
    await settle();
    expect(hosts()).toBeUndefined();
    controller.report('web');
    await vi.waitFor(() => expect(hosts()).toEqual(always));
    await vi.waitFor(() => expect(scope()?.status?.clusters).toEqual({ before: 2010 }));
    controller.pass(5_000);
    controller.report('web', [], { clusters: 13 });
    await vi.waitFor(() => {
      expect(scope()?.status.clusters).toEqual({ before: 2010, after: 13 });
    });
    // If figures arrive right after another write, the controller writes them a moment later.
    controller.report('web', [], { clusters: 26 });
    await settle();
    expect(scope()?.status.clusters.after).toBe(13);
    controller.pass(1_000);
    controller.lookAtDue();
    await vi.waitFor(() => expect(scope()?.status.clusters.after).toBe(26));
  });

  const waiting = { name: 'istio-proxy', state: { waiting: {} } };
  test.each([
    ['got its address', { phase: 'Pending' }],
    ['started its proxy', { phase: 'Running', initContainerStatuses: [waiting] }],
  ])('counts a pod that %s after the namespace was evaluated', async (_, status) => {
    const [, late] = app('shop/late', '10.96.0.7', '10.1.0.7');
    if (!late) throw new Error('incomplete');
    const ips = status.phase === 'Running' ? { podIPs: late.status.podIPs } : {};
    kube.put({ ...late, status: { ...ips, ...status } });
    const controller = await start();
    controller.look();
    await vi.waitFor(() => expect(reason('late')).toBe('NoProxies'));
    kube.put(late);
    controller.report('late');
    await vi.waitFor(() => expect(hosts('late')).toEqual(always));
  });

  test('is narrowed without figures if the figures do not come', async () => {
    const controller = await start();
    controller.report('web', [], { clusters: 0 });
    await settle();
    controller.pass(9_000);
    controller.lookAtDue();
    await settle();
    expect(hosts()).toBeUndefined();
    controller.pass(1_000);
    controller.lookAtDue();
    await vi.waitFor(() => expect(hosts()).toEqual(always));
    await vi.waitFor(() => expect(reason()).toBe('Enforced'));
    expect(scope()?.status.conditions[0].message).toMatch(/memory of 1 proxy is unknown/);
  });

  test('has a destination in scope as soon as a proxy asks for it', async () => {
    const controller = await start();
    controller.report('web');
    await vi.waitFor(() => expect(hosts()).toEqual(always));
    expect(controller.ask('web', 'cart')).toMatchObject({
      strategy: 'direct',
      sni: 'outbound_.80_._.cart.shop.svc.cluster.local',
      identities: ['spiffe://cluster.local/ns/shop/sa/cart'],
      millisecondsSinceScopeWritten: 0,
    });
    await vi.waitFor(() => expect(hosts()).toContain(cart));
    controller.pass(70);
    expect(controller.ask('web', 'cart').millisecondsSinceScopeWritten).toBe(70);
  });

  test('imports a new TCP Service on a port that is HTTP in its scope, without a question', async () => {
    const controller = await start();
    controller.report('web');
    controller.ask('web', 'cart');
    await vi.waitFor(() => expect(hosts()).toContain(cart));
    kube.put(service('shop/database', { ip: '10.96.0.9', ports: [{ name: 'tcp-db', port: 80 }] }));
    const database = 'shop/database.shop.svc.cluster.local';
    await vi.waitFor(() => expect(hosts()).toContain(database));
  });

  test('sees only the hosts that the mesh configuration permits', async () => {
    kube.put(service('bank/vault', { ip: '10.96.0.8' }));
    const controller = await start();
    controller.report('web');
    await vi.waitFor(() => expect(hosts()).toEqual(always));
    const ask = () => controller.ask('web', 'vault.bank', '10.96.0.8:80').reason;
    kube.put({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'istio', namespace: 'istio-system' },
      data: { mesh: 'defaultServiceExportTo: ["."]' },
    });
    expect(ask()).toBe('not a host of the mesh');
    await kube.delete({ group: '', version: '', plural: 'configmaps' }, 'istio', 'istio-system');
    expect(ask()).not.toBe('not a host of the mesh');
  });

  test('has the hosts of a burst recorded a moment later', async () => {
    const controller = await start();
    controller.report('web');
    await vi.waitFor(() => expect(reason()).toBe('Enforced'));
    controller.ask('web', 'cart');
    await vi.waitFor(() => expect(hosts()).toContain(cart));
    await settle();
    expect(scope()?.status.hostCount).toBe(2);
    controller.pass(2_000);
    controller.look();
    const recorded = expect.objectContaining({ host: cart, reason: 'learned' });
    await vi.waitFor(() => expect(scope()?.status.hosts).toContainEqual(recorded));
  });

  test('learns from reports, by cluster and by unknown call', async () => {
    const controller = await start();
    const cluster = 'outbound|80||cart.shop.svc.cluster.local';
    const unknown = { tcp: true, authority: '', destination: '10.96.0.2:80' };
    controller.report('web', [
      { cluster, secondsSinceSeen: 0 },
      { unknown, secondsSinceSeen: 0 },
      { cluster: 'PassthroughCluster', secondsSinceSeen: 0 },
      { cluster: 'outbound|80||http-ports.lazyscope.internal', secondsSinceSeen: 0 },
    ]);
    await vi.waitFor(() => {
      expect(hosts()).toEqual([...always, cart, 'shop/web.shop.svc.cluster.local']);
    });
  });

  test('gets no more writes once everything is in its desired state', async () => {
    const controller = await start();
    controller.report('web');
    controller.report('cart');
    controller.ask('web', 'cart');
    await vi.waitFor(() => expect(hosts()).toContain(cart));
    await settle();
    kube.writes.length = 0;
    controller.look();
    controller.report('web');
    controller.ask('web', 'cart');
    await settle();
    expect(kube.writes).toEqual([]);
  });

  test('answers a host under a VirtualService with hold, and imports its namespace', async () => {
    kube.put(istio('VirtualService', 'routing/cart', { hosts: ['cart.shop.svc.cluster.local'] }));
    const controller = await start();
    controller.report('web');
    await vi.waitFor(() => expect(hosts()).toEqual(always));
    expect(controller.ask('web', 'cart')).toMatchObject({ strategy: 'hold', otherwise: 'direct' });
    await vi.waitFor(() => expect(hosts()).toContain('routing/cart.shop.svc.cluster.local'));
  });

  test('follows the pins, excludes and first call of a scope', async () => {
    const controller = await start();
    controller.report('web');
    await vi.waitFor(() => expect(hosts()).toEqual(always));
    const before = scope();
    if (!before) throw new Error('no scope');
    kube.put({
      ...before,
      spec: { ...before.spec, pins: ['bank/ledger'], excludes: [cart], firstCall: 'passthrough' },
    });
    expect(controller.ask('web', 'cart').strategy).toBe('plain');
    await vi.waitFor(() => expect(hosts()).toEqual(['bank/ledger', ...always]));
  });

  test('is reconciled when the API server comes back', async () => {
    const controller = await start();
    controller.report('web');
    await vi.waitFor(() => expect(hosts()).toEqual(always));
    kube.failing = true;
    controller.ask('web', 'cart');
    await vi.waitFor(() => expect(controller.failures.length).toBeGreaterThan(0));
    kube.failing = false;
    await vi.waitFor(() => expect(hosts()).toContain(cart), 3_000);
  });
});

describe('other modes', () => {
  test('observe learns and shows, and writes no Sidecar', async () => {
    enable('observe');
    const controller = await start();
    controller.report('web');
    controller.ask('web', 'cart');
    await vi.waitFor(() => expect(scope()?.status?.hostCount).toBe(3));
    expect({ reason: reason(), hosts: hosts() }).toEqual({ reason: 'Observing', hosts: undefined });
  });

  test.each(['observe', 'off'])(
    '%s leaves hosts that Istio does not know to Istio',
    async (mode) => {
      enable(mode);
      const controller = await start();
      expect(controller.ask('web', 'cart').strategy).toBe('passthrough');
      const learned = controller.state.edges.edgesFrom({ namespace: 'shop', owner: 'web' });
      expect(learned.map(({ host }) => host)).toEqual(
        mode === 'observe' ? ['cart.shop.svc.cluster.local'] : [],
      );
    },
  );

  test('enforce does so too, until a scope is in force', async () => {
    const controller = await start({ life: { learningWindowMs: 3_600_000 } });
    controller.report('web');
    await controller.lookThrough();
    expect(reason()).toBe('Learning');
    expect(controller.ask('web', 'cart').strategy).toBe('passthrough');
    controller.pass(3_600_000);
    controller.report('web');
    await controller.lookThrough();
    expect(reason()).toBe('Enforced');
    expect(controller.ask('web', 'cart').strategy).toBe('direct');
  });

  test('a scope that was deleted a moment ago still counts, and nothing is held for it', async () => {
    kube.put(istio('VirtualService', 'shop/cart', { hosts: ['cart'] }));
    const controller = await start();
    controller.report('web');
    await controller.lookThrough();
    enable('observe');
    await controller.lookThrough();
    await vi.waitFor(() => expect(hosts()).toBeUndefined());
    expect(controller.ask('web', 'cart').strategy).toBe('direct');
    controller.pass(15_000);
    expect(controller.ask('web', 'cart').strategy).toBe('passthrough');
  });

  test('off restores full configuration, and so does removing the label', async () => {
    const controller = await start();
    controller.report('web');
    await vi.waitFor(() => expect(hosts()).toEqual(always));
    enable('off');
    await vi.waitFor(() => expect(hosts()).toBeUndefined());
    await vi.waitFor(() => expect(reason()).toBe('Off'));
    enable('enforce');
    await vi.waitFor(() => expect(hosts()).toEqual(always));
    await vi.waitFor(() => expect(reason()).toBe('Enforced'));
    enable();
    await vi.waitFor(() => expect(hosts()).toBeUndefined());
    await vi.waitFor(() => expect(kube.all('WorkloadScope')).toEqual([]));
    expect(controller.state.edges.size()).toBe(0);
  });

  test('nothing at all is written into a namespace that was never enabled', async () => {
    enable();
    const controller = await start();
    controller.report('web');
    controller.ask('web', 'cart');
    controller.look();
    await settle();
    expect(kube.writes).toEqual([]);
  });
});
