import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Catalog, createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { app, istio, pod, service, slice } from './objects.ts';

const clusterDomain = 'cluster.local';

const names = fc.constantFrom('a', 'b', 'c');
const paths = fc.tuple(fc.constantFrom('x', 'y'), names).map((parts) => parts.join('/'));
const ips = fc.integer({ min: 1, max: 4 }).map((n) => `10.0.0.${n}`);

const objects: fc.Arbitrary<KubeObject> = fc.oneof(
  fc.tuple(paths, ips).map(([path, ip]) => service(path, { ip })),
  fc.tuple(paths, ips).map(([path, ip]) => pod(path, { ip })),
  fc
    .tuple(paths, fc.array(fc.record({ ip: ips, pod: names }), { maxLength: 3 }))
    .map(([path, endpoints]) => slice(path, endpoints)),
  fc
    .tuple(paths, fc.uniqueArray(fc.constantFrom('a', 'b.example.com', '*.example.com')))
    .map(([path, hosts]) => istio('ServiceEntry', path, { hosts, ports: [{ number: 80 }] })),
  fc
    .tuple(paths, fc.uniqueArray(fc.constantFrom('a', 'b', '*.x'), { minLength: 1 }))
    .map(([path, hosts]) =>
      istio('VirtualService', path, {
        hosts,
        http: [{ route: [{ destination: { host: hosts[0] } }] }],
      }),
    ),
  fc
    .tuple(paths, names)
    .map(([path, host]) => istio('DestinationRule', path, { host, trafficPolicy: {} })),
  paths.map((path) => istio('PeerAuthentication', path, { mtls: { mode: 'STRICT' } })),
);

function keyOf({ kind, metadata }: KubeObject): string {
  return `${kind}/${metadata.namespace}/${metadata.name}`;
}

function filled(list: Iterable<KubeObject>): Catalog {
  const catalog = createCatalog({ clusterDomain });
  for (const object of list) catalog.upsert(object);
  return catalog;
}

test('removing every added object leaves nothing in any index', () => {
  fc.assert(
    fc.property(fc.array(objects, { maxLength: 40 }), (list) => {
      const catalog = filled(list);
      for (const object of list) catalog.remove(object);
      expect(catalog.sizes()).toEqual(createCatalog({ clusterDomain }).sizes());
    }),
  );
});

test('only the last state of an object counts, whatever came before', () => {
  fc.assert(
    fc.property(fc.array(objects, { maxLength: 40 }), (list) => {
      const last = new Map(list.map((object) => [keyOf(object), object]));
      expect(filled(list).sizes()).toEqual(filled(last.values()).sizes());
    }),
  );
});

test('a service is found by its address, and its endpoint by the pod', () => {
  const catalog = filled(app('shop/cart', '10.96.0.1', '10.1.0.1'));
  expect(catalog.hostsAt('10.96.0.1').map(({ host }) => host)).toEqual([
    'cart.shop.svc.cluster.local',
  ]);
  expect(catalog.servicesOfEndpoint('10.1.0.1').map(({ name }) => name)).toEqual(['cart']);
  expect(catalog.podAt('10.1.0.1')?.name).toBe('cart');
});

test('an address of a finished pod belongs to the running pod', () => {
  const catalog = filled([
    pod('shop/job', { ip: '10.1.0.1', phase: 'Succeeded' }),
    pod('shop/cart', { ip: '10.1.0.1' }),
  ]);
  expect(catalog.podAt('10.1.0.1')?.name).toBe('cart');
});

test('a kind that no decision needs is refused by name', () => {
  const catalog = createCatalog({ clusterDomain });
  expect(() => catalog.upsert(istio('Gateway', 'shop/a', {}))).toThrow(/kind Gateway/);
});
