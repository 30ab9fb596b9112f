import { describe, expect, test } from 'vitest';
import { resolve, type UnknownCall } from '../../../../companion/core/first-call/resolve.ts';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import { app, istio, pod, service, slice } from './objects.ts';

const catalog = createCatalog({ clusterDomain: 'cluster.local' });
for (const object of [
  ...app('shop/cart', '10.96.0.1', '10.1.0.1'),
  ...app('other/cart', '10.96.0.2', '10.1.0.2'),
  service('shop/db', { ports: [{ name: 'tcp', port: 5432 }] }),
  pod('shop/db-0', { ip: '10.1.0.3' }),
  slice('shop/db', [{ ip: '10.1.0.3', pod: 'db-0' }], [5432]),
  service('other/private', { ip: '10.96.0.4', exportTo: '.' }),
  service('other/sniffed', { ip: '10.96.0.5', ports: [{ name: 'web', port: 8000 }] }),
  service('other/far', { externalName: 'far.example.com' }),
  service('shop/alias', { externalName: 'Cart.other.svc.cluster.local.' }),
  service('shop/second', { externalName: 'alias.shop.svc.cluster.local' }),
  service('shop/circle', { externalName: 'circle.shop.svc.cluster.local' }),
  istio('ServiceEntry', 'shop/bank', {
    hosts: ['api.bank.example'],
    addresses: ['240.0.0.1'],
    ports: [
      { number: 443, name: 'tls', protocol: 'TLS' },
      { number: 80, protocol: 'HTTP' },
    ],
  }),
  istio('ServiceEntry', 'shop/wiki', {
    hosts: ['*.wiki.example'],
    ports: [{ number: 80, protocol: 'HTTP' }],
  }),
  istio('ServiceEntry', 'other/hidden', {
    hosts: ['hidden.example'],
    exportTo: ['.'],
    ports: [{ number: 80, protocol: 'HTTP' }],
  }),
  istio('VirtualService', 'routing/front', { hosts: ['front.internal'], http: [] }),
  istio('VirtualService', 'other/cart', { hosts: ['cart'], http: [], exportTo: ['shop'] }),
  istio('VirtualService', 'shop/ingress', { hosts: ['cart'], gateways: ['shop/gw'], http: [] }),
]) {
  catalog.upsert(object);
}

const clusterIp = '10.96.0.1:80';

function find(authority: string, destination = clusterIp, namespace = 'shop', tcp = false) {
  const call: UnknownCall = { tcp, authority, destination };
  const {
    kind,
    host,
    port,
    record,
    learnable,
    pod: target,
    virtualServices,
  } = resolve(catalog, call, { namespace, clusterDomain: 'cluster.local' });
  return {
    kind,
    host,
    port,
    learnable,
    in: record?.namespace,
    pod: target?.name,
    rules: virtualServices.map((rule) => `${rule.namespace}/${rule.name}`),
  };
}

const shopCart = { kind: 'service', host: 'cart.shop.svc.cluster.local', port: 80, in: 'shop' };
const otherCart = { kind: 'service', host: 'cart.other.svc.cluster.local', port: 80, in: 'other' };
const outside = { kind: 'external', learnable: false };

test('a range that the caller does not see hides no wider one', () => {
  const ranges = createCatalog({ clusterDomain: 'cluster.local' });
  const ports = [{ number: 80, protocol: 'TCP' }];
  const wide = { hosts: ['wide.example'], addresses: ['240.0.0.0/8'], ports };
  const narrow = { hosts: ['narrow.example'], addresses: ['240.1.0.0/16'], exportTo: ['.'], ports };
  ranges.upsert(istio('ServiceEntry', 'shop/wide', wide));
  ranges.upsert(istio('ServiceEntry', 'other/narrow', narrow));
  const call: UnknownCall = { tcp: true, authority: '', destination: '240.1.0.1:80' };
  const found = (namespace: string) =>
    resolve(ranges, call, { namespace, clusterDomain: 'cluster.local' }).host;
  expect([found('shop'), found('other')]).toEqual(['wide.example', 'narrow.example']);
});

test('an address in a range of a ServiceEntry means that entry', () => {
  catalog.upsert(
    istio('ServiceEntry', 'shop/range', {
      hosts: ['range.example'],
      addresses: ['240.7.0.0/16'],
      ports: [{ number: 5432, name: 'tcp', protocol: 'TCP' }],
      resolution: 'STATIC',
    }),
  );
  const call: UnknownCall = { tcp: true, authority: '', destination: '240.7.9.9:5432' };
  expect(
    resolve(catalog, call, { namespace: 'shop', clusterDomain: 'cluster.local' }),
  ).toMatchObject({ kind: 'entry', host: 'range.example', addressed: true });
  expect(find('', '240.8.0.1:5432', 'shop', true)).toMatchObject(outside);
});

describe('an ExternalName', () => {
  test.each(['alias', 'second'])('%s of a Service of the mesh is that Service', (name) => {
    expect(find(name, '10.96.0.2:80')).toMatchObject(otherCart);
  });

  test('that leads in a circle stays unresolved', () => {
    expect(find('circle')).toMatchObject({ host: 'circle.shop.svc.cluster.local' });
  });
});

describe('a name of a Service', () => {
  test.each([
    'cart',
    'cart:80',
    'CART',
    'cart.shop',
    'cart.shop.svc',
    'cart.shop.svc.cluster.local',
    'cart.shop.svc.cluster.local.',
  ])('%s means the one in the namespace of the caller', (authority) => {
    expect(find(authority)).toMatchObject({ ...shopCart, learnable: true });
  });

  test('with a namespace means the one there', () => {
    expect(find('cart.other')).toMatchObject(otherCart);
    expect(find('cart', clusterIp, 'other')).toMatchObject(otherCart);
  });

  test('counts on the ports that the Service declares only', () => {
    expect(find('cart', '10.96.0.1:81')).toMatchObject(outside);
  });

  test('that is not exported to the caller means nothing to him', () => {
    expect(find('private.other', '10.96.9.9:80')).toMatchObject(outside);
    expect(find('private', '10.96.9.9:80', 'other')).toMatchObject({ kind: 'service' });
  });

  test('of a pod behind a headless Service means that Service and that pod', () => {
    const found = find('db-0.db.shop.svc.cluster.local', '10.1.0.3:5432');
    expect(found).toMatchObject({ host: 'db.shop.svc.cluster.local', pod: 'db-0' });
  });

  test('of type ExternalName is still a host of the mesh', () => {
    expect(find('far.other', '93.0.0.1:80')).toMatchObject({
      kind: 'service',
      host: 'far.other.svc.cluster.local',
    });
  });
});

describe('a ServiceEntry', () => {
  test('is found by its host', () => {
    expect(find('api.bank.example', '93.0.0.1:80')).toMatchObject({
      kind: 'entry',
      host: 'api.bank.example',
      learnable: true,
    });
  });

  test('with a wildcard matches, and is learned as the wildcard', () => {
    expect(find('en.wiki.example', '93.0.0.1:80')).toMatchObject({
      kind: 'entry',
      host: '*.wiki.example',
      learnable: true,
    });
  });

  test('of another namespace that exports it to itself only is unknown', () => {
    expect(find('hidden.example', '93.0.0.1:80')).toMatchObject(outside);
  });

  test('is found by its address', () => {
    expect(find('', '240.0.0.1:443', 'shop', true)).toMatchObject({
      kind: 'entry',
      host: 'api.bank.example',
      port: 443,
      learnable: true,
    });
  });
});

describe('a VirtualService', () => {
  test('of the mesh applies to a host in the namespaces that it is exported to', () => {
    expect(find('cart.other').rules).toEqual(['other/cart']);
    expect(find('cart.other', clusterIp, 'elsewhere').rules).toEqual([]);
  });

  test('that is only for a gateway does not count', () => {
    expect(find('cart').rules).toEqual([]);
  });

  test('alone makes a host on port 80 only, as istiod routes it', () => {
    expect(find('front.internal', '10.96.9.9:8080')).toMatchObject(outside);
    expect(find('front.internal')).toMatchObject({
      kind: 'virtual',
      host: 'front.internal',
      rules: ['routing/front'],
      learnable: true,
    });
  });
});

describe('an address', () => {
  test('of a Service means that Service', () => {
    expect(find('', '10.96.0.2:80', 'shop', true)).toMatchObject({ ...otherCart, learnable: true });
    expect(find('10.96.0.2', '10.96.0.2:80')).toMatchObject({ ...otherCart, learnable: true });
  });

  test('under another name means the Service, but no scope would route that name', () => {
    expect(find('example.com', '10.96.0.2:80')).toMatchObject({ ...otherCart, learnable: false });
  });

  test('under another name is learned if the port is sniffed, because sniffing ignores names', () => {
    expect(find('example.com', '10.96.0.5:8000')).toMatchObject({ learnable: true });
  });

  test('of a pod behind a headless Service means both', () => {
    expect(find('', '10.1.0.3:5432', 'shop', true)).toMatchObject({
      host: 'db.shop.svc.cluster.local',
      pod: 'db-0',
      learnable: true,
    });
  });

  test('of a pod of ordinary Services is no host: Istio passes it through', () => {
    expect(find('', '10.1.0.1:8080', 'shop', true)).toMatchObject(outside);
    expect(find('10.1.0.1:8080', '10.1.0.1:8080')).toMatchObject(outside);
  });

  test.each(['93.0.0.1:80', 'nonsense', ''])('%j is not of the mesh', (destination) => {
    expect(find('', destination, 'shop', true)).toMatchObject(outside);
  });
});
