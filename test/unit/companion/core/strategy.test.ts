import { describe, expect, test } from 'vitest';
import { mtlsOf, serversViewOf, without } from '../../../../companion/core/first-call/mtls.ts';
import { resolve } from '../../../../companion/core/first-call/resolve.ts';
import {
  chooseStrategy,
  type FirstCall,
  firstCalls,
} from '../../../../companion/core/first-call/strategy.ts';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { app, istio, pod, service, slice } from './objects.ts';

const names = { trustDomain: 'cluster.local', rootNamespace: 'istio-system' };

type Case = {
  firstCall?: FirstCall;
  authority?: string;
  destination?: string;
  tcp?: boolean;
  network?: string;
  gatewayReady?: boolean;
  gatewayCarries?: boolean;
  otherClusters?: boolean;
  labels?: Record<string, string>;
  destinationAgeMs?: number;
};

function choose(objects: KubeObject[], options: Case = {}) {
  const { firstCall = 'gateway', authority = 'cart', destination = '10.96.0.1:80' } = options;
  const catalog = createCatalog({ clusterDomain: 'cluster.local' });
  for (const object of objects) catalog.upsert(object);
  const tcp = options.tcp ?? false;
  const client = { namespace: 'shop', labels: options.labels ?? {} };
  const found = resolve(
    catalog,
    { tcp, authority, destination },
    { namespace: 'shop', clusterDomain: 'cluster.local' },
  );
  const mtls = found.record
    ? mtlsOf(
        serversViewOf(catalog, names),
        { record: found.record, port: found.port, pod: found.pod },
        client,
      )
    : without('plain', '');
  const { network: callerNetwork = '', gatewayReady = true } = options;
  const { gatewayCarries = true, destinationAgeMs = Number.POSITIVE_INFINITY } = options;
  const { otherClusters = false } = options;
  const gateway = { gatewayReady, gatewayCarries, otherClusters, destinationAgeMs };
  const hashed = false;
  const call = { tcp, firstCall, callerNetwork, hashed, ...gateway };
  return chooseStrategy(call, found, mtls);
}

const cart = app('shop/cart', '10.96.0.1', '10.1.0.1');

describe('a destination without mutual TLS', () => {
  const bare = [
    service('shop/cart', { ip: '10.96.0.1' }),
    slice('shop/cart', [{ ip: '10.1.0.1', pod: 'cart' }]),
    pod('shop/cart', { ip: '10.1.0.1', tlsMode: '' }),
  ];

  test('is passed through to its own address under every outbound policy', () => {
    expect(choose(bare)).toMatchObject({ strategy: 'plain' });
    expect(choose(bare, { destination: '10.1.0.1:80' })).toMatchObject({ strategy: 'plain' });
  });

  test('opens no way to any other address', () => {
    const elsewhere = { destination: '93.0.0.1:80' };
    expect(choose(bare, elsewhere)).toMatchObject({ strategy: 'hold', otherwise: 'passthrough' });
    const excluded = { ...elsewhere, firstCall: 'passthrough' as const };
    expect(choose(bare, excluded)).toMatchObject({ strategy: 'passthrough' });
  });

  test('with addresses from DNS may be anywhere, so only its real route is open', () => {
    const entry = istio('ServiceEntry', 'shop/bank', {
      hosts: ['bank.example'],
      resolution: 'DNS',
      ports: [{ number: 80, protocol: 'HTTP' }],
    });
    const call = { authority: 'bank.example', destination: '93.0.0.1:80' };
    expect(choose([entry], call)).toMatchObject({ strategy: 'hold', otherwise: 'passthrough' });
  });
});
const rules = istio('VirtualService', 'shop/cart', { hosts: ['cart'], http: [] });

test('is called directly if the gateway has no ready endpoint, unless only the gateway leads there', () => {
  expect(choose(cart, { gatewayReady: false })).toMatchObject({
    strategy: 'direct',
    reason: 'the gateway has no ready endpoint',
  });
  const elsewhere = { gatewayReady: false, network: 'another' };
  expect(choose(cart, elsewhere)).toMatchObject({ strategy: 'gateway' });
});

describe('a destination that the gateway may not know yet', () => {
  test('is called directly, with a short TTL', () => {
    expect(choose(cart, { destinationAgeMs: 4_999 })).toMatchObject({
      strategy: 'direct',
      reason: 'the gateway may not know the host yet',
      ttlSeconds: 5,
    });
    expect(choose(cart, { destinationAgeMs: 5_000 })).toMatchObject({ strategy: 'gateway' });
  });

  test('is called through the gateway if nothing else leads there', () => {
    const options = { destinationAgeMs: 0, network: 'another' };
    expect(choose(cart, options)).toMatchObject({ strategy: 'gateway', ttlSeconds: 5 });
  });

  test('is passed through if it accepts no mutual TLS', () => {
    const plain = app('shop/cart', '10.96.0.1', '10.1.0.1', { tlsMode: '' });
    expect(choose(plain, { destinationAgeMs: 0 })).toMatchObject({ strategy: 'plain' });
  });

  test('is held under a VirtualService, as any other, and otherwise called directly', () => {
    const decision = choose([...cart, rules], { destinationAgeMs: 0 });
    expect(decision).toMatchObject({ strategy: 'hold', otherwise: 'direct' });
  });
});

describe('a destination in the mesh', () => {
  test.each([
    ['gateway', { strategy: 'gateway' }],
    ['direct', { strategy: 'direct' }],
    ['auto', { strategy: 'direct' }],
    ['hold', { strategy: 'hold', otherwise: 'direct' }],
    ['passthrough', { strategy: 'plain' }],
  ] as const)('is called by the strategy of setting %s', (firstCall, expected) => {
    expect(choose(cart, { firstCall })).toMatchObject(expected);
  });

  test('has the SNI for the gateway and the identity of the server', () => {
    expect(choose(cart)).toMatchObject({
      sni: 'outbound_.80_._.cart.shop.svc.cluster.local',
      identities: ['spiffe://cluster.local/ns/shop/sa/cart'],
    });
  });

  test.each(firstCalls)('is held under a VirtualService, also with setting %s', (firstCall) => {
    expect(choose([...cart, rules], { firstCall })).toMatchObject({ strategy: 'hold' });
  });

  test('is never held for TCP', () => {
    const tcp = [service('shop/db', { ip: '10.96.0.1', ports: [{ name: 'tcp', port: 80 }] })];
    const found = choose([...tcp, rules], { firstCall: 'hold', tcp: true });
    expect(found.strategy).toBe('gateway');
  });

  test('on another network is called through the gateway with every setting', () => {
    expect(choose(cart, { firstCall: 'auto', network: 'east' })).toMatchObject({
      strategy: 'gateway',
    });
  });

  test('without endpoints here is called through the gateway, which knows the endpoints elsewhere', () => {
    const empty = [service('shop/cart', { ip: '10.96.0.1' })];
    expect(choose(empty)).toMatchObject({ strategy: 'gateway', identities: [], ttlSeconds: 5 });
    const unseen = [{ gatewayCarries: false }, { gatewayReady: false }];
    for (const options of unseen) {
      expect(choose(empty, options)).toMatchObject({ strategy: 'plain', ttlSeconds: 5 });
    }
  });

  test('that is headless is called directly: only one pod is meant', () => {
    const headless = [
      service('shop/cart', { ports: [{ name: 'http', port: 80 }] }),
      pod('shop/cart-0', { ip: '10.1.0.1', account: 'cart' }),
      slice('shop/cart', [{ ip: '10.1.0.1', pod: 'cart-0' }]),
    ];
    expect(choose(headless, { destination: '10.1.0.1:80' })).toMatchObject({ strategy: 'direct' });
  });
});

describe('a destination of which one pod has no sidecar', () => {
  const mixed = (ready: boolean) => [
    ...cart,
    pod('shop/plain', { ip: '10.1.0.9', tlsMode: '' }),
    slice('shop/cart', [
      { ip: '10.1.0.1', pod: 'cart' },
      { ip: '10.1.0.9', pod: 'plain', ready },
    ]),
  ];

  test('is called through the gateway, which leaves that pod out, with every setting', () => {
    for (const firstCall of ['gateway', 'direct', 'auto'] as const) {
      expect(choose(mixed(true), { firstCall })).toMatchObject({
        strategy: 'gateway',
        identities: ['spiffe://cluster.local/ns/shop/sa/cart'],
      });
    }
  });

  test('is held if no gateway leads to it, and never called in plain text', () => {
    const held = { strategy: 'hold', otherwise: 'direct' };
    expect(choose(mixed(true), { gatewayReady: false })).toMatchObject(held);
    expect(choose(mixed(true), { gatewayCarries: false })).toMatchObject(held);
    expect(choose(mixed(true), { gatewayReady: false, tcp: true }).strategy).toBe('direct');
  });

  test('is like any other while that pod is not ready', () => {
    expect(choose(mixed(false), { firstCall: 'direct' })).toMatchObject({ strategy: 'direct' });
  });
});

describe('a destination that accepts no mutual TLS is passed through', () => {
  test('when a DestinationRule switches it off', () => {
    const rule = istio('DestinationRule', 'shop/cart', {
      host: 'cart',
      trafficPolicy: { tls: { mode: 'DISABLE' } },
    });
    expect(choose([...cart, rule])).toMatchObject({ strategy: 'plain' });
  });

  test('when its endpoints are not pods', () => {
    const elsewhere = [
      service('shop/cart', { ip: '10.96.0.1' }),
      slice('shop/cart', [{ ip: '192.0.2.1' }]),
    ];
    expect(choose(elsewhere)).toMatchObject({ strategy: 'plain' });
  });

  test.each([
    ['the mesh', 'istio-system/default', {}],
    ['its namespace', 'shop/default', {}],
    ['its pods', 'shop/cart', { selector: { matchLabels: { app: 'cart' } } }],
  ])('when PeerAuthentication of %s disables it', (_of, path, selector) => {
    const policy = istio('PeerAuthentication', path, { ...selector, mtls: { mode: 'DISABLE' } });
    expect(choose([...cart, policy])).toMatchObject({ strategy: 'plain' });
  });

  test('but not when a closer PeerAuthentication allows it', () => {
    const mesh = istio('PeerAuthentication', 'istio-system/default', { mtls: { mode: 'DISABLE' } });
    const near = istio('PeerAuthentication', 'shop/default', { mtls: { mode: 'STRICT' } });
    expect(choose([...cart, mesh, near])).toMatchObject({ strategy: 'gateway' });
  });

  test('when it is disabled on the port that the pods listen on', () => {
    const policy = istio('PeerAuthentication', 'shop/cart', {
      selector: { matchLabels: { app: 'cart' } },
      portLevelMtls: { 8080: { mode: 'DISABLE' } },
    });
    expect(choose([...cart, policy])).toMatchObject({ strategy: 'plain' });
  });
});

describe('a destination that only its real route can reach', () => {
  const entry = istio('ServiceEntry', 'shop/bank', {
    hosts: ['bank.example'],
    ports: [{ number: 80, protocol: 'HTTP' }],
  });
  const call = { authority: 'bank.example', destination: '93.0.0.1:80' };

  test('is held for a ServiceEntry, and passed through otherwise', () => {
    expect(choose([entry], call)).toMatchObject({ strategy: 'hold', otherwise: 'plain' });
  });

  test('is passed through if this is the setting', () => {
    expect(choose([entry], { ...call, firstCall: 'passthrough' })).toMatchObject({
      strategy: 'plain',
    });
  });

  test('is held if a DestinationRule originates TLS', () => {
    const rule = istio('DestinationRule', 'shop/cart', {
      host: 'cart',
      trafficPolicy: { tls: { mode: 'SIMPLE' } },
    });
    expect(choose([...cart, rule])).toMatchObject({ strategy: 'hold', otherwise: 'direct' });
  });

  test('is refused rather than called in plain text if a DestinationRule originates TLS', () => {
    const rule = istio('DestinationRule', 'shop/bank', {
      host: 'bank.example',
      trafficPolicy: { tls: { mode: 'SIMPLE' } },
    });
    const held = { strategy: 'hold', otherwise: 'direct' };
    expect(choose([entry, rule], call)).toMatchObject(held);
  });

  test('is held if ztunnel captures its traffic, because only HBONE passes ztunnel', () => {
    const annotations = { 'ambient.istio.io/redirection': 'enabled' };
    const captured = app('shop/cart', '10.96.0.1', '10.1.0.1', { tlsMode: '', annotations });
    const held = { strategy: 'hold', otherwise: 'direct' };
    expect(choose(captured)).toMatchObject(held);
  });
});

test('a DestinationRule of the caller comes before that of the service', () => {
  const far = app('other/cart', '10.96.0.2', '10.1.0.2');
  const theirs = istio('DestinationRule', 'other/cart', {
    host: 'cart',
    trafficPolicy: { tls: { mode: 'DISABLE' } },
  });
  const ours = istio('DestinationRule', 'shop/cart', {
    host: '*.other.svc.cluster.local',
    trafficPolicy: { tls: { mode: 'ISTIO_MUTUAL' } },
  });
  const call = { authority: 'cart.other', destination: '10.96.0.2:80' };
  expect(choose([...far, theirs], call).strategy).toBe('plain');
  expect(choose([...far, theirs, ours], call).strategy).toBe('gateway');
});

test('more identities than fit are left out, so that the trust domain alone is pinned', () => {
  const pods = Array.from({ length: 17 }, (_, n) =>
    pod(`shop/cart-${n}`, { ip: `10.1.0.${n + 1}`, account: `sa-${n}` }),
  );
  const endpoints = pods.map(({ metadata }, n) => ({ ip: `10.1.0.${n + 1}`, pod: metadata.name }));
  const base = service('shop/cart', { ip: '10.96.0.1' });
  expect(choose([base, ...pods, slice('shop/cart', endpoints)]).identities).toEqual([]);
  expect(choose([base, ...pods, slice('shop/cart', endpoints.slice(1))]).identities).toHaveLength(
    16,
  );
});

test('a destination outside of the mesh is passed through, and the filter asks again', () => {
  expect(choose([], { authority: 'example.com' })).toMatchObject({
    strategy: 'passthrough',
    ttlSeconds: 5,
  });
});
