import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import { entryOf, scopeOf } from '../../../../companion/core/scope/hosts.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { istio, service } from './objects.ts';

const objectOf = (kind: string, path: string, spec: object): KubeObject => ({
  ...istio('VirtualService', path, spec),
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind,
});

const reviews = service('prod/reviews', { ip: '10.96.0.1', ports: [{ name: 'http', port: 9080 }] });
const second = service('prod/reviews-v2', { ip: '10.96.0.2' });
const parent = { group: '', kind: 'Service', name: 'reviews', namespace: 'prod' };
const backend = { name: 'reviews-v2', namespace: 'prod', port: 80 };
const route = (path: string, more: object = {}, kind = 'HTTPRoute') =>
  objectOf(kind, path, { parentRefs: [parent], rules: [{ backendRefs: [backend] }], ...more });

function catalogOf(objects: readonly KubeObject[]) {
  const catalog = createCatalog({ clusterDomain: 'cluster.local' });
  for (const object of objects) catalog.upsert(object);
  return catalog;
}

const ours = { namespace: 'lazyscope-system', host: 'ours' };

/** The imports, with reasons, of a workload in the namespace that has called these hosts. */
function scope(objects: readonly KubeObject[], learned: string[], namespace = 'shop') {
  const edges = learned.map((entry) => {
    const [owner = '', host = ''] = entry.split('/');
    return { namespace: owner, host, firstSeen: 0, lastSeen: 0 };
  });
  const hosts = scopeOf(catalogOf(objects), {
    ...{
      namespace,
      rootNamespace: 'istio-system',
      labels: [{}],
      ips: [],
      edges,
      pins: [],
      excludes: [],
    },
    ...{ sentinel: ours, gateway: ours, dnsProxy: false },
  });
  return Object.fromEntries(
    hosts
      .filter(({ entry }) => entry !== entryOf(ours))
      .map(({ entry, reason }) => [entry, reason]),
  );
}

const host = 'reviews.prod.svc.cluster.local';
const hostOfSecond = 'reviews-v2.prod.svc.cluster.local';

describe.each(['HTTPRoute', 'GRPCRoute'])('an %s', (kind) => {
  test('of the caller’s namespace is imported with its host, for that namespace only', () => {
    const objects = [reviews, second, route('shop/mine', {}, kind)];
    const withRule = { [`prod/${host}`]: 'learned', [`shop/${host}`]: 'virtualservice' };
    expect(scope(objects, [`prod/${host}`])).toEqual(withRule);
    expect(scope(objects, [`prod/${host}`], 'bank')).toEqual({ [`prod/${host}`]: 'learned' });
  });

  test('keeps its host while proxies report only its backend', () => {
    const objects = [reviews, second, route('prod/theirs', {}, kind)];
    expect(scope(objects, [`prod/${hostOfSecond}`])).toEqual({
      [`prod/${hostOfSecond}`]: 'learned',
      [`prod/${host}`]: 'virtualservice',
    });
  });
});

test.each(['TCPRoute', 'TLSRoute'])('a %s rules connections of its host', (kind) => {
  const database = service('prod/db', { ip: '10.96.0.3', ports: [{ name: 'tcp', port: 5432 }] });
  const parentRefs = [{ ...parent, name: 'db' }];
  expect(scope([database, second, route('prod/db', { parentRefs }, kind)], [])).toEqual({
    'prod/db.prod.svc.cluster.local': 'eager',
  });
});

test.each([
  ['a backend', { backendRefs: [backend] }, [hostOfSecond]],
  [
    'a backend of its own namespace',
    { backendRefs: [{ name: 'a', port: 80 }] },
    ['a.shop.svc.cluster.local'],
  ],
  [
    'copies of requests',
    { filters: [{ type: 'RequestMirror', requestMirror: { backendRef: backend } }] },
    [hostOfSecond],
  ],
  [
    'a host by name',
    {
      backendRefs: [
        { group: 'networking.istio.io', kind: 'Hostname', name: 'a.example.com', port: 80 },
      ],
    },
    ['a.example.com'],
  ],
  [
    'a Service of several clusters',
    {
      backendRefs: [{ group: 'multicluster.x-k8s.io', kind: 'ServiceImport', name: 'a', port: 80 }],
    },
    ['a.shop.svc.clusterset.local', 'a.shop.svc.cluster.local'],
  ],
  [
    'no backend that istiod refuses',
    { backendRefs: [{ group: 'x', kind: 'Bucket', name: 'a' }] },
    [],
  ],
])('a route leads to %s', (_what, rule, destinations) => {
  const catalog = catalogOf([reviews, route('shop/mine', { rules: [rule] })]);
  expect(catalog.virtualServices.exact(host)).toMatchObject([
    { destinations, madeFrom: 'HTTPRoute', namespace: 'shop', name: 'mine' },
  ]);
});

test.each([
  ['a gateway', { name: 'gateway' }],
  [
    'a gateway by its kind',
    { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'reviews' },
  ],
  ['a missing Service', { ...parent, name: 'absent' }],
])('a route attached to %s is no rule of the mesh', (_what, reference) => {
  const catalog = catalogOf([reviews, route('prod/mine', { parentRefs: [reference] })]);
  expect([...catalog.virtualServices.patterns()]).toEqual([]);
});

const entry = istio('ServiceEntry', 'prod/out', {
  hosts: ['a.example.com', 'b.example.com'],
  ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
});
const ofEntry = route('shop/out', {
  parentRefs: [
    { group: 'networking.istio.io', kind: 'ServiceEntry', name: 'out', namespace: 'prod' },
  ],
});
const tls = objectOf('BackendTLSPolicy', 'prod/tls', {
  targetRefs: [{ group: '', kind: 'Service', name: 'reviews', sectionName: 'http' }],
});

test('a policy sets the TLS of calls to a port', () => {
  expect(catalogOf([reviews, tls]).destinationRules.exact(host)).toMatchObject([
    { namespace: 'prod', policy: { mode: '', portModes: { 9080: 'SIMPLE' } } },
  ]);
});

test('routes, policies and their targets may come and go in any order, and leave nothing', () => {
  const objects = [reviews, second, entry, route('shop/mine'), ofEntry, tls];
  const empty = catalogOf([]).sizes();
  const all = { minLength: objects.length };
  fc.assert(
    fc.property(
      fc.shuffledSubarray(objects, all),
      fc.shuffledSubarray(objects, all),
      (come, go) => {
        const catalog = catalogOf([...come, ...come]);
        for (const name of [host, 'a.example.com', 'b.example.com'])
          expect(catalog.virtualServices.exact(name)).toHaveLength(1);
        expect(catalog.destinationRules.exact(host)).toHaveLength(1);
        for (const object of go) catalog.remove(object);
        expect(catalog.sizes()).toEqual(empty);
      },
    ),
  );
});
