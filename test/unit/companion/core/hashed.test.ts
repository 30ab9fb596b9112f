import { describe, expect, test } from 'vitest';
import { meshView } from '../../../../companion/controller/nodes/mesh-view.ts';
import { createArrivals } from '../../../../companion/core/first-call/arrivals.ts';
import { type Caller, decide } from '../../../../companion/core/first-call/decide.ts';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { app, istio, service, slice } from './objects.ts';

const config = {
  ...{ clusterDomain: 'cluster.local', trustDomain: 'td', rootNamespace: 'istio-system' },
  gatewayHost: 'lazyscope-egress.lazyscope-system.svc.cluster.local',
};

const loadBalancer = { consistentHash: { useSourceIp: true } };
const host = 'cart.shop.svc.cluster.local';

function rule(spec: object, name = 'shop/cart', created = ''): KubeObject {
  return istio('DestinationRule', name, { host, ...spec }, created);
}

function decided(more: KubeObject[], call: Partial<Caller> & { tcp?: boolean } = {}) {
  const { tcp = false, ...settings } = call;
  const catalog = createCatalog({ clusterDomain: config.clusterDomain });
  for (const object of [...app('shop/cart', '10.96.0.1', '10.1.0.1'), ...more])
    catalog.upsert(object);
  const caller: Caller = {
    ...{ namespace: 'shop', labels: { app: 'web' }, network: '', firstCall: 'direct' },
    ...{ barrier: () => undefined, mayLearn: () => true, imports: true, isNarrowed: true },
    ...settings,
  };
  const view = meshView({ catalog, arrivals: createArrivals() }, config, 0);
  return decide(view, caller, { tcp, authority: 'cart', destination: '10.96.0.1:80' });
}

const onPort = (number: number, more: object = { loadBalancer }) => ({
  trafficPolicy: { portLevelSettings: [{ port: { number }, ...more }] },
});

describe('a first call is held where a DestinationRule chooses the server by a hash', () => {
  test.each([
    ['of any port', [rule({ trafficPolicy: { loadBalancer } })]],
    ['of the called port', [rule(onPort(80))]],
    [
      'for the client',
      [
        rule({
          trafficPolicy: { loadBalancer },
          workloadSelector: { matchLabels: { app: 'web' } },
        }),
      ],
    ],
    ['of the root namespace', [rule({ trafficPolicy: { loadBalancer } }, 'istio-system/cart')]],
    [
      'of any port, although the called port has settings without one',
      [
        rule({
          trafficPolicy: {
            loadBalancer,
            ...onPort(80, { connectionPool: {} }).trafficPolicy,
          },
        }),
      ],
    ],
    [
      'of a rule beside one that has only subsets',
      [
        rule({ subsets: [{ name: 'v1' }] }, 'shop/a', '2026-01-01T00:00:00Z'),
        rule({ trafficPolicy: { loadBalancer } }, 'shop/b', '2026-01-02T00:00:00Z'),
      ],
    ],
    [
      'beside a BackendTLSPolicy for another port',
      [rule({ trafficPolicy: { loadBalancer } }), backendTls('other')],
    ],
  ])('%s', (_what, more) => {
    expect(decided(more)).toMatchObject({
      ...{ strategy: 'hold', otherwise: 'direct' },
      reason: expect.stringContaining('a DestinationRule chooses the server by a hash'),
    });
  });

  test.each<[string, KubeObject[], Parameters<typeof decided>[1]]>([
    ['of another port', [rule(onPort(81))], {}],
    [
      'for other clients',
      [rule({ trafficPolicy: { loadBalancer }, workloadSelector: { matchLabels: { app: 'x' } } })],
      {},
    ],
    [
      'that another namespace does not export',
      [rule({ trafficPolicy: { loadBalancer }, exportTo: ['.'] }, 'bank/cart')],
      {},
    ],
    [
      'of a younger rule, because the older one has a policy',
      [
        rule(
          { trafficPolicy: { loadBalancer: { simple: 'RANDOM' } } },
          'shop/a',
          '2026-01-01T00:00:00Z',
        ),
        rule({ trafficPolicy: { loadBalancer } }, 'shop/b', '2026-01-02T00:00:00Z'),
      ],
      {},
    ],
    [
      'of subsets, which only a VirtualService chooses',
      [rule({ subsets: [{ name: 'v1', trafficPolicy: { loadBalancer } }] })],
      {},
    ],
    ['for a connection', [rule({ trafficPolicy: { loadBalancer } })], { tcp: true }],
    ['that brings no scope', [rule({ trafficPolicy: { loadBalancer } })], { imports: false }],
    [
      'where first calls are to pass through',
      [rule({ trafficPolicy: { loadBalancer } })],
      { firstCall: 'passthrough' },
    ],
  ])('and not by one %s', (_what, more, call) => {
    expect(decided(more, call).strategy).not.toBe('hold');
  });

  test('and not for a headless Service, whose clients choose the server', () => {
    const headless = [
      service('shop/cart'),
      slice('shop/cart', [{ ip: '10.96.0.1', pod: 'cart-0' }]),
      rule({ trafficPolicy: { loadBalancer } }),
    ];
    expect(decided(headless).strategy).not.toBe('hold');
  });
});

function backendTls(sectionName?: string): KubeObject {
  const target = { group: '', kind: 'Service', name: 'cart', ...(sectionName && { sectionName }) };
  const spec = { targetRefs: [target], validation: { hostname: 'cart' } };
  const metadata = { namespace: 'shop', name: 'tls', creationTimestamp: '2026-01-01T00:00:00Z' };
  return { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'BackendTLSPolicy', metadata, spec };
}

/** pilot/pkg/model/destination_rule.go, mergeBackendPolicyTrafficPolicy */
describe('a BackendTLSPolicy beside a DestinationRule', () => {
  test.each(['2025-01-01T00:00:00Z', '2027-01-01T00:00:00Z'])(
    'sets what the rule of %s leaves open, and no more',
    (created) => {
      const reasonOf = (spec: object) =>
        decided([rule({ trafficPolicy: spec }, 'shop/cart', created), backendTls()]).reason;
      expect(reasonOf({ loadBalancer: { simple: 'RANDOM' } })).toMatch(/sets TLS mode SIMPLE/);
      expect(reasonOf({ tls: { mode: 'DISABLE' } })).toMatch(/sets TLS mode DISABLE/);
      expect(reasonOf({ tls: { mode: 'ISTIO_MUTUAL' } })).not.toMatch(/sets TLS mode/);
    },
  );

  test('leaves the balancing of the rule in force', () => {
    const found = decided([rule({ trafficPolicy: { loadBalancer } }), backendTls()]);
    expect(found).toMatchObject({ strategy: 'hold' });
  });
});
