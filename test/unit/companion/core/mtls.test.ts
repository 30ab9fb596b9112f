import { describe, expect, test } from 'vitest';
import { mtlsOf, serversViewOf } from '../../../../companion/core/first-call/mtls.ts';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { app, istio, pod, service, slice } from './objects.ts';

const names = { trustDomain: 'cluster.local', rootNamespace: 'istio-system' };

/** The protocol that a client of `from` uses for a port of a host in the namespace `shop`. */
function speak(
  objects: KubeObject[],
  { port = 80, host = 'cart', labels = {} as Record<string, string>, from = 'shop' } = {},
) {
  const catalog = createCatalog({ clusterDomain: 'cluster.local' });
  for (const object of objects) catalog.upsert(object);
  const [record] = catalog.hosts.exact(`${host}.shop.svc.cluster.local`);
  if (!record) throw new Error(`no host ${host}`);
  return mtlsOf(serversViewOf(catalog, names), { record, port }, { namespace: from, labels });
}

describe('PeerAuthentication of one port', () => {
  const twoPorts = [
    service('shop/cart', {
      ip: '10.96.0.1',
      ports: [
        { name: 'http', port: 80 },
        { name: 'http-metrics', port: 9090 },
      ],
    }),
    pod('shop/cart', { ip: '10.1.0.1', account: 'cart', labels: { app: 'cart' } }),
    slice(
      'shop/cart',
      [{ ip: '10.1.0.1', pod: 'cart' }],
      [
        { name: 'http', port: 8080 },
        { name: 'http-metrics', port: 9090 },
      ],
    ),
  ];
  const policy = (portLevelMtls: object, mode = 'STRICT') =>
    istio('PeerAuthentication', 'shop/cart', {
      selector: { matchLabels: { app: 'cart' } },
      mtls: { mode },
      portLevelMtls,
    });

  test('does not affect the other ports', () => {
    const open = [...twoPorts, policy({ 9090: { mode: 'DISABLE' } })];
    expect(speak(open, { port: 80 }).speech).toBe('mtls');
    expect(speak(open, { port: 9090 }).speech).toBe('plain');
  });

  test('counts by the port of the pods, not by the port of the Service', () => {
    const ofService = [...twoPorts, policy({ 80: { mode: 'DISABLE' } })];
    expect(speak(ofService, { port: 80 }).speech).toBe('mtls');
    const ofPod = [...twoPorts, policy({ 8080: { mode: 'DISABLE' } })];
    expect(speak(ofPod, { port: 80 }).speech).toBe('plain');
    const reopened = [...twoPorts, policy({ 8080: { mode: 'STRICT' } }, 'DISABLE')];
    expect(speak(reopened, { port: 80 }).speech).toBe('mtls');
    expect(speak(reopened, { port: 9090 }).speech).toBe('plain');
  });

  test('counts by the port of each pod if the ports differ', () => {
    const second = { ...slice('shop/cart', [{ ip: '10.1.0.2', pod: 'cart-b' }]) };
    second.metadata = { ...second.metadata, name: 'cart-b' };
    const both = [
      ...twoPorts,
      pod('shop/cart-b', { ip: '10.1.0.2', account: 'cart', labels: { app: 'cart' } }),
      { ...second, ports: [{ name: 'http', port: 8888 }] },
    ];
    expect(speak([...both, policy({ 8888: { mode: 'DISABLE' } })]).speech).toBe('mixed');
    expect(speak([...both, policy({ 8080: { mode: 'DISABLE' } })]).speech).toBe('mixed');
    const neither = policy({ 8080: { mode: 'DISABLE' }, 8888: { mode: 'DISABLE' } });
    expect(speak([...both, neither]).speech).toBe('plain');
  });
});

test('a PeerAuthentication with an empty selector is for all, and one of the root namespace selects nobody', () => {
  const cart = app('shop/cart', '10.96.0.1', '10.1.0.1');
  const all = istio('PeerAuthentication', 'istio-system/default', {
    selector: { matchLabels: {} },
    mtls: { mode: 'DISABLE' },
  });
  expect(speak([...cart, all]).speech).toBe('plain');
  const some = istio('PeerAuthentication', 'istio-system/default', {
    selector: { matchLabels: { app: 'cart' } },
    mtls: { mode: 'DISABLE' },
  });
  expect(speak([...cart, some]).speech).toBe('mtls');
});

describe('a DestinationRule', () => {
  const cart = app('shop/cart', '10.96.0.1', '10.1.0.1');
  const rule = (path: string, mode: string, more: object = {}, created = '') =>
    istio('DestinationRule', path, { host, trafficPolicy: { tls: { mode } }, ...more }, created);
  const host = 'cart.shop.svc.cluster.local';

  test('for some clients does not apply to others', () => {
    const legacy = rule('shop/legacy', 'DISABLE', {
      workloadSelector: { matchLabels: { app: 'legacy' } },
    });
    expect(speak([...cart, legacy]).speech).toBe('mtls');
    expect(speak([...cart, legacy], { labels: { app: 'legacy' } }).speech).toBe('plain');
    expect(speak([...cart, legacy], { labels: { app: 'legacy' }, from: 'other' }).speech).toBe(
      'mtls',
    );
  });

  test('for all clients counts beside one for some', () => {
    const rules = [
      rule('shop/legacy', 'SIMPLE', { workloadSelector: { matchLabels: { app: 'legacy' } } }),
      rule('shop/all', 'DISABLE'),
    ];
    expect(speak([...cart, ...rules]).speech).toBe('plain');
    expect(speak([...cart, ...rules], { labels: { app: 'legacy' } }).speech).toBe('own');
  });

  test('that is most specific hides the others, also from clients that it is not exported to', () => {
    const near = rule('shop/near', 'DISABLE', { exportTo: ['elsewhere', '.'] });
    const wide = rule('shop/wide', 'SIMPLE', { host: '*.svc.cluster.local' });
    expect(speak([...cart, near, wide]).speech).toBe('plain');
    expect(speak([...cart, near, wide], { from: 'other' }).speech).toBe('mtls');
    expect(speak([...cart, wide], { from: 'other' }).speech).toBe('own');
  });

  test('for a wildcard that begins inside a label counts', () => {
    const wide = rule('shop/wide', 'DISABLE', { host: '*rt.shop.svc.cluster.local' });
    expect(speak([...cart, wide]).speech).toBe('plain');
  });

  test('that is oldest counts if several have one host', () => {
    const older = rule('shop/b', 'DISABLE', {}, '2026-01-01T00:00:00Z');
    const newer = rule('shop/a', 'ISTIO_MUTUAL', {}, '2026-02-01T00:00:00Z');
    expect(speak([...cart, newer, older]).speech).toBe('plain');
  });

  test('without a traffic policy leaves it to the next', () => {
    const empty = istio('DestinationRule', 'shop/a', { host }, '2026-01-01T00:00:00Z');
    const next = rule('shop/b', 'DISABLE', {}, '2026-02-01T00:00:00Z');
    expect(speak([...cart, empty, next]).speech).toBe('plain');
  });

  test('with port settings that lack TLS still decides between plain text and mutual TLS', () => {
    const portLevelSettings = [{ port: { number: 80 } }];
    const policy = (mode: string) =>
      istio('DestinationRule', 'shop/cart', {
        host,
        trafficPolicy: { tls: { mode }, portLevelSettings },
      });
    expect(speak([...cart, policy('SIMPLE')]).speech).toBe('plain');
    expect(speak([...cart, policy('ISTIO_MUTUAL')]).speech).toBe('mtls');
  });

  test('with mutual TLS applies to pods without a sidecar too', () => {
    const bare = app('shop/cart', '10.96.0.1', '10.1.0.1', { tlsMode: '' });
    expect(speak([...bare, rule('shop/cart', 'ISTIO_MUTUAL')]).speech).toBe('mtls');
  });

  test('with an SNI of its own is left to its cluster', () => {
    const trafficPolicy = { tls: { mode: 'ISTIO_MUTUAL', sni: 'other.example' } };
    const named = istio('DestinationRule', 'shop/cart', { host, trafficPolicy });
    expect(speak([...cart, named]).speech).toBe('own');
  });
});

describe('without automatic mutual TLS', () => {
  const cart = app('shop/cart', '10.96.0.1', '10.1.0.1');
  const config = (mesh: string): KubeObject => ({
    ...{ apiVersion: 'v1', kind: 'ConfigMap', data: { mesh } },
    metadata: { namespace: 'istio-system', name: 'istio' },
  });
  const rule = (mode: string) =>
    istio('DestinationRule', 'shop/cart', { host: 'cart', trafficPolicy: { tls: { mode } } });

  test.each([
    ['nothing is encrypted', 'enableAutoMtls: false', [], 'plain'],
    ['what a DestinationRule encrypts is', 'enableAutoMtls: false', [rule('ISTIO_MUTUAL')], 'mtls'],
    ['what a DestinationRule leaves is not', 'enableAutoMtls: false', [rule('DISABLE')], 'plain'],
    ['all is as by default, if it says true', 'enableAutoMtls: true', [], 'mtls'],
  ])('%s', (_what, mesh, more, speech) => {
    expect(speak([...cart, config(mesh), ...more]).speech).toBe(speech);
  });
});

describe('identities', () => {
  const cart = app('shop/cart', '10.96.0.1', '10.1.0.1');

  test('are the identities that istiod would accept: of endpoints, and of annotations', () => {
    const [plain, ...others] = cart;
    const annotated = {
      ...plain,
      metadata: {
        ...plain?.metadata,
        annotations: {
          'alpha.istio.io/kubernetes-serviceaccounts': 'former,older',
          'alpha.istio.io/canonical-serviceaccounts': 'spiffe://elsewhere/ns/a/sa/b',
        },
      },
    } as KubeObject;
    expect(speak([annotated, ...others]).identities).toEqual([
      'spiffe://cluster.local/ns/shop/sa/cart',
      'spiffe://cluster.local/ns/shop/sa/former',
      'spiffe://cluster.local/ns/shop/sa/older',
      'spiffe://elsewhere/ns/a/sa/b',
    ]);
  });

  test('are listed under every name of the trust domain', () => {
    const mesh: KubeObject = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { namespace: 'istio-system', name: 'istio' },
      data: { mesh: 'trustDomainAliases: [old.example]' },
    };
    expect(speak([...cart, mesh]).identities).toEqual([
      'spiffe://cluster.local/ns/shop/sa/cart',
      'spiffe://old.example/ns/shop/sa/cart',
    ]);
  });

  test('of plain-text endpoints do not count', () => {
    const mixed = [
      ...cart,
      pod('shop/bare', { ip: '10.1.0.9', account: 'bare', tlsMode: '' }),
      slice('shop/cart', [
        { ip: '10.1.0.1', pod: 'cart' },
        { ip: '10.1.0.9', pod: 'bare' },
      ]),
    ];
    expect(speak(mixed).identities).toEqual(['spiffe://cluster.local/ns/shop/sa/cart']);
  });
});
