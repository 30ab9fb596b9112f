import { expect, test } from 'vitest';
import { createFarHosts, farHostsMax } from '../../../../companion/controller/state/far-hosts.ts';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import { app, ourSidecar } from '../core/objects.ts';
import { hosts, kube, start } from './shop.ts';

function startStore() {
  const catalog = createCatalog({ clusterDomain: 'cluster.local' });
  const farHosts = createFarHosts(catalog);
  const told = () =>
    [...catalog.farHosts()].map(({ host, ports, exportTo }) => [
      host,
      ports.map(({ port }) => port),
      exportTo,
    ]);
  return { farHosts, told };
}

test('a host is known with the ports and in the namespaces that proxies reported', () => {
  const { farHosts, told } = startStore();
  farHosts.note('far.bank.svc.cluster.local', 80, 'shop', 1_000);
  farHosts.note('far.bank.svc.cluster.local', 81, 'shop', 1_000);
  farHosts.note('far.bank.svc.cluster.local', 80, 'desk', 2_000);
  expect(told()).toEqual([['far.bank.svc.cluster.local', [80, 81], ['shop', 'desk']]]);
});

test('a host that nobody uses any more is forgotten, in each namespace by itself', () => {
  const { farHosts, told } = startStore();
  farHosts.note('far.bank.svc.cluster.local', 80, 'shop', 1_000);
  farHosts.note('far.bank.svc.cluster.local', 80, 'desk', 2_000);
  farHosts.expire(1_500);
  expect(told()).toEqual([['far.bank.svc.cluster.local', [80], ['desk']]]);
  farHosts.expire(2_500);
  expect(told()).toEqual([]);
});

test('proxies of one namespace can neither fill the memory nor take the room of other namespaces', () => {
  const { farHosts, told } = startStore();
  const note = (n: number, namespace: string) =>
    farHosts.note(`far-${n}.example`, 80, namespace, 1);
  for (let n = 0; n < farHostsMax.namespace; n++) expect(note(n, 'shop')).toBe(true);
  expect(note(farHostsMax.namespace, 'shop')).toBe(false);
  expect(note(0, 'shop')).toBe(true);
  expect(note(farHostsMax.namespace, 'desk')).toBe(true);
  expect(told()).toHaveLength(farHostsMax.namespace + 1);
  farHosts.expire(2);
  expect(note(farHostsMax.namespace, 'shop')).toBe(true);
});

test('a host of istiod’s clusters is imported, and known to the other workloads of its namespace', async () => {
  const controller = await start();
  kube.put(ourSidecar('shop/cart', { app: 'cart' }));
  for (const object of app('lazyscope-system/lazyscope-egress', '10.96.0.9', '10.1.0.9')) {
    kube.put(object);
  }
  const metadata = {
    name: 'shop',
    labels: { 'lazyscope.io/mode': 'enforce' },
    annotations: { 'lazyscope.io/first-call': 'gateway' },
  };
  kube.put({ apiVersion: 'v1', kind: 'Namespace', metadata });
  expect(controller.ask('cart', 'far.bank', '10.96.7.7:80').reason).toBe('not a host of the mesh');
  controller.report('web', [
    { cluster: 'outbound|80||far.bank.svc.cluster.local', secondsSinceSeen: 0 },
    { cluster: 'outbound|80||api.elsewhere.example', secondsSinceSeen: 0 },
  ]);
  await controller.lookThrough();
  const far = ['*/api.elsewhere.example', 'bank/far.bank.svc.cluster.local'];
  expect(hosts()).toEqual(expect.arrayContaining(far));
  controller.pass(5_000);
  expect(controller.ask('cart', 'far.bank', '10.96.7.7:80').reason).toContain(
    'only another cluster may have endpoints',
  );
});
