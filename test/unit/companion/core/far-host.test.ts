import { describe, expect, test } from 'vitest';
import { isCarried } from '../../../../companion/core/first-call/gateway.ts';
import { resolve } from '../../../../companion/core/first-call/resolve.ts';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import { farHostObject } from '../../../../companion/core/mesh/far-host.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { app, service } from './objects.ts';

const names = { trustDomain: 'cluster.local', rootNamespace: 'istio-system' };
const gatewayHost = 'egress.lazyscope-system.svc.cluster.local';
const gateway = app('lazyscope-system/egress', '10.96.0.9', '10.1.0.9');
const far = (host: string, namespaces = ['shop']) => farHostObject(host, [80], namespaces);

function found(objects: KubeObject[], authority: string, namespace = 'shop') {
  const catalog = createCatalog({ clusterDomain: 'cluster.local' });
  for (const object of [...gateway, ...objects]) catalog.upsert(object);
  const call = { tcp: false, authority, destination: '10.96.7.7:80' };
  const { kind, record, learnable } = resolve(catalog, call, {
    namespace,
    clusterDomain: 'cluster.local',
  });
  const carried = record && isCarried(catalog, { record, port: 80 }, gatewayHost, names);
  return { kind, in: record?.namespace, far: record?.isFar === true, learnable, carried };
}

describe('a host that a proxy reported and this cluster does not have', () => {
  const cart = far('cart.shop.svc.cluster.local');

  test.each(['cart', 'cart.shop', 'cart.shop.svc.cluster.local'])(
    'is a Service by its name: %s',
    (authority) => {
      expect(found([cart], authority)).toEqual({
        kind: 'service',
        in: 'shop',
        far: true,
        learnable: true,
        carried: true,
      });
    },
  );

  test('is a Service of the set of clusters by that name', () => {
    const set = far('cart.bank.svc.clusterset.local');
    expect(found([set], 'cart.bank.svc.clusterset.local')).toMatchObject({
      kind: 'service',
      in: 'bank',
    });
  });

  test('is held if it is no Service, because the gateway cannot route it', () => {
    expect(found([far('api.example')], 'api.example')).toMatchObject({
      kind: 'entry',
      in: '*',
      learnable: true,
      carried: false,
    });
  });

  test('is unknown to namespaces whose proxies did not report it', () => {
    expect(found([cart], 'cart.shop', 'other').kind).toBe('external');
  });

  test('is the host of this cluster as soon as the cluster has it', () => {
    const near = service('shop/cart', { ip: '10.96.7.7' });
    expect(found([cart, near], 'cart')).toMatchObject({ kind: 'service', far: false });
    const hidden = service('shop/cart', { ip: '10.96.7.7', exportTo: 'elsewhere' });
    expect(found([cart, hidden], 'cart', 'shop').kind).toBe('external');
  });
});
