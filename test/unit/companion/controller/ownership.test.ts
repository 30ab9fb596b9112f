import { describe, expect, test, vi } from 'vitest';
import { istio, ourSidecar, pod } from '../core/objects.ts';
import { always, cart, hosts, kube, reason, scope, settle, start } from './shop.ts';

describe('objects of others', () => {
  const selecting = istio('Sidecar', 'shop/mine', {
    workloadSelector: { labels: { app: 'web' } },
    egress: [{ hosts: ['./*'] }],
  });

  test('a Sidecar of a user wins, and ours is removed', async () => {
    const controller = await start();
    controller.report('web');
    await vi.waitFor(() => expect(hosts()).toEqual(always));
    kube.put(selecting);
    await vi.waitFor(() => expect(hosts()).toBeUndefined());
    await vi.waitFor(() => expect(reason()).toBe('ForeignSidecar'));
    // The proxies have not received the new Sidecar yet.
    expect(controller.ask('web', 'cart').strategy).toBe('direct');
    controller.pass(15_000);
    expect(controller.ask('web', 'cart')).toMatchObject({
      strategy: 'passthrough',
      reason: 'Sidecar mine applies to the workload',
    });
  });

  test('a Sidecar of a user with our name is never written to', async () => {
    kube.put(istio('Sidecar', 'shop/lazyscope-web', { egress: [{ hosts: ['~/*'] }] }));
    const controller = await start();
    controller.report('web');
    await vi.waitFor(() => expect(reason()).toBe('ForeignSidecar'));
    await settle();
    expect(kube.writes.filter((write) => write.includes('Sidecar'))).toEqual([]);
  });

  test('a default Sidecar of the namespace limits scope and answers', async () => {
    const egress = [{ hosts: ['bank/*'] }];
    kube.put(istio('Sidecar', 'shop/default', { egress, outboundTrafficPolicy: { mode: 'X' } }));
    const controller = await start();
    controller.report('web', [
      { cluster: 'outbound|80||cart.shop.svc.cluster.local', secondsSinceSeen: 0 },
    ]);
    await vi.waitFor(() => expect(hosts()).toEqual(always));
    expect(controller.ask('web', 'cart').strategy).toBe('passthrough');
    const [ours] = kube.all('Sidecar').filter(({ metadata }) => metadata.ownerReferences);
    expect(ours?.spec.outboundTrafficPolicy).toEqual({ mode: 'X' });
  });

  test('reports of a node about pods of another node are ignored', async () => {
    const controller = await start();
    controller.report('web', [], { node: 'node-2' });
    const answer = controller.ask('web', 'cart', '10.96.0.1:80', 'node-2');
    expect(answer).toMatchObject({ strategy: 'passthrough', sni: '', identities: [] });
    controller.look();
    await vi.waitFor(() => expect(reason()).toBe('ProxiesNotReporting'));
    expect(scope()?.status.hostCount).toBe(2);
  });

  test('a node cannot make the proxy of another node look gone or silent', async () => {
    const controller = await start();
    controller.report('web');
    await vi.waitFor(() => expect(reason()).toBe('Enforced'));
    const web = kube.all('Pod').find(({ metadata }) => metadata.name === 'web');
    const podUid = web?.metadata.uid ?? '';
    controller.messages.onGone('node-2', { namespace: 'shop', pod: 'web', podUid });
    controller.tell('node-2', { pod: 'web', podUid: 'made-up' });
    controller.messages.onGone('node-2', { namespace: 'shop', pod: 'web', podUid: 'made-up' });
    const [proxy] = controller.state.proxies.values();
    expect(proxy).toMatchObject({ pod: 'web', uid: podUid });
    controller.messages.onGone('node-1', { namespace: 'shop', pod: 'web', podUid });
    expect([...controller.state.proxies.values()]).toEqual([]);
  });

  test('a node that invents pods fills no table, and other nodes can still announce pods', async () => {
    const controller = await start();
    for (let n = 0; n < 2_000; n++) controller.tell('node-2', { pod: `p${n}`, podUid: `u${n}` });
    expect([...controller.state.proxies.values()]).toEqual([]);
    controller.tell('node-1', { pod: 'new', podUid: 'uid-shop/new' });
    kube.put(pod('shop/new', { ip: '10.1.0.7' }));
    expect(controller.messages.takeArrived()).toEqual([{ namespace: 'shop', pod: 'new' }]);
  });

  test('a pod whose node the watch has not reported yet is requested again, not refused', async () => {
    const controller = await start();
    kube.put(ourSidecar('shop/web', { app: 'web' }));
    const late = pod('shop/late', { ip: '10.1.0.8' });
    kube.put({ ...late, spec: { ...late.spec, nodeName: undefined } });
    expect(controller.ask('late', 'cart').strategy).not.toBe('passthrough');
    kube.put(late);
    expect(controller.messages.takeArrived()).toEqual([{ namespace: 'shop', pod: 'late' }]);
  });

  test('questions about names that do not exist are answered, and the names are never kept', async () => {
    const controller = await start();
    for (let n = 0; n < 10_000; n++) controller.ask('web', `made-up-${n}`, '192.0.2.1:80');
    expect(controller.state.edges.size()).toBe(0);
  });
});

describe('replicas', () => {
  test('a follower answers and learns, and writes only once it leads', async () => {
    const follower = await start({ leads: false });
    follower.report('web');
    follower.ask('web', 'cart');
    follower.look();
    await settle();
    expect(kube.writes).toEqual([]);
    follower.elect();
    await vi.waitFor(() => expect(hosts()).toEqual([...always, cart]));
  });

  test('a controller that restarts does not narrow from an empty memory', async () => {
    const first = await start();
    first.report('web');
    first.ask('web', 'cart');
    await vi.waitFor(() => expect(scope()?.status?.hostCount).toBe(3));
    await first.stop();
    kube.writes.length = 0;
    const second = await start();
    second.look();
    await settle();
    second.report('web');
    second.look();
    await settle();
    expect(hosts()).toEqual([...always, cart]);
    expect(kube.writes.filter((write) => write.includes('Sidecar'))).toEqual([]);
  });

  test('a host that the last leader had no time to record is not lost', async () => {
    const first = await start();
    first.report('web');
    await vi.waitFor(() => expect(reason()).toBe('Enforced'));
    await first.stop();
    const [sidecar] = kube.all('Sidecar');
    if (!sidecar) throw new Error('no Sidecar');
    kube.put({ ...sidecar, spec: { ...sidecar.spec, egress: [{ hosts: [...always, cart] }] } });
    kube.writes.length = 0;
    const second = await start({ leads: false });
    second.elect();
    second.report('web');
    await vi.waitFor(() => expect(scope()?.status.hostCount).toBe(3));
    expect(kube.writes.filter((write) => write.includes('Sidecar'))).toEqual([]);
  });

  test('a late watch event brings back no replaced object', async () => {
    const controller = await start();
    controller.report('web');
    await vi.waitFor(() => expect(reason()).toBe('Enforced'));
    const before = [...kube.all('Sidecar'), ...kube.all('WorkloadScope')];
    controller.ask('web', 'cart');
    await vi.waitFor(() => expect(hosts()).toContain(cart));
    controller.pass(2_000);
    controller.look();
    await vi.waitFor(() => expect(scope()?.status.hostCount).toBe(3));
    kube.writes.length = 0;
    for (const object of before) kube.tellLate(object);
    controller.look();
    await settle();
    expect(kube.writes).toEqual([]);
  });

  test('a deleted scope takes its Sidecar along, and both are created again', async () => {
    const controller = await start();
    controller.report('web');
    controller.ask('web', 'cart');
    await vi.waitFor(() => expect(hosts()).toContain(cart));
    const uid = scope()?.metadata.uid;
    await kube.delete({ group: '', version: '', plural: 'workloadscopes' }, 'web', 'shop');
    await vi.waitFor(() => expect(hosts()).toContain(cart));
    expect(scope()?.metadata.uid).not.toBe(uid);
    const [sidecar] = kube.all('Sidecar');
    expect(sidecar?.metadata.ownerReferences?.[0]?.uid).toBe(scope()?.metadata.uid);
  });
});

test('two workloads that get the same labels share a scope, and the other Sidecar is deleted', async () => {
  const owner = { kind: 'StatefulSet', name: 'other' };
  kube.put(pod('shop/other', { ip: '10.1.0.9', owner, labels: { app: 'other' } }));
  const controller = await start();
  controller.report('web');
  controller.report('other');
  await vi.waitFor(() => expect([hosts('other'), hosts('web')]).toEqual([always, always]));
  kube.put(pod('shop/other', { ip: '10.1.0.9', owner, labels: { app: 'web', x: 'y' } }));
  await vi.waitFor(() => expect(kube.all('Sidecar')).toHaveLength(1));
  controller.pass(2_000);
  controller.look();
  await vi.waitFor(() => expect(scope('other')?.status.owners).toEqual(['other', 'web']));
  expect(kube.all('Sidecar')[0]?.spec.workloadSelector.labels).toEqual({ app: 'web' });
});

test('a pod that its node reports before the watch does is requested again', async () => {
  // The controller cannot know yet whether the Sidecar selects that pod.
  kube.put(ourSidecar('shop/web', { app: 'web' }));
  const controller = await start();
  const early = { namespace: 'shop', pod: 'new', podUid: 'uid-shop/new', id: 1 };
  const call = { tcp: false, authority: 'cart', destination: '10.96.0.1:80' };
  expect(controller.messages.onQuestion('node-1', { ...early, call }).strategy).toBe('direct');
  expect(controller.messages.takeArrived()).toEqual([]);
  kube.put(pod('shop/new', { ip: '10.1.0.7' }));
  expect(controller.messages.takeArrived()).toEqual([{ namespace: 'shop', pod: 'new' }]);
  expect(controller.messages.takeArrived()).toEqual([]);
});
