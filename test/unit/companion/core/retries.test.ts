import { describe, expect, test } from 'vitest';
import { meshView } from '../../../../companion/controller/nodes/mesh-view.ts';
import { createArrivals } from '../../../../companion/core/first-call/arrivals.ts';
import { type Caller, decide } from '../../../../companion/core/first-call/decide.ts';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import { istioRetries, readRetryPolicy } from '../../../../companion/core/mesh/retry-policy.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { answerHeaders } from '../../../../companion/node/asked-request.ts';
import { app, istio, pod } from './objects.ts';

/** istiod's own reading: pilot/pkg/networking/core/route/retry/retry_test.go has such a table. */
describe('the retry policy of the mesh configuration', () => {
  const none = { on: '', grpcOn: '', codes: '', perTryMs: 0 };
  test.each([
    ['is Istio’s where none is set', undefined, istioRetries],
    ['is none without attempts', {}, undefined],
    ['is none with 0 attempts', { attempts: 0, retryOn: '5xx' }, undefined],
    [
      'has the default conditions where it has none',
      { attempts: 4 },
      { ...none, attempts: 4, grpcOn: 'unavailable,cancelled' },
    ],
    [
      'has conditions for gRPC and for all',
      { attempts: 1, retryOn: 'gateway-error, resource-exhausted,connect-failure' },
      { ...none, attempts: 1, on: 'gateway-error', grpcOn: 'resource-exhausted' },
    ],
    [
      'has status codes among the conditions',
      { attempts: 3, retryOn: '503,429,reset', perTryTimeout: '1.5s' },
      {
        ...{ attempts: 3, on: 'reset,retriable-status-codes', grpcOn: '' },
        ...{ codes: '503,429', perTryMs: 1500 },
      },
    ],
    [
      'leaves out what Envoy does not know',
      { attempts: 1, retryOn: '999,x y,retriable-status-codes', perTryTimeout: 'soon' },
      { ...none, attempts: 1 },
    ],
  ])('%s', (_what, written, expected) => {
    expect(readRetryPolicy(written)).toEqual(expected);
  });

  test('is two further attempts after UNAVAILABLE or CANCELLED, by default', () => {
    expect(istioRetries).toEqual({ ...none, attempts: 2, grpcOn: 'unavailable,cancelled' });
  });
});

const config = {
  ...{ clusterDomain: 'cluster.local', trustDomain: 'td', rootNamespace: 'istio-system' },
  gatewayHost: 'lazyscope-egress.lazyscope-system.svc.cluster.local',
};

function retriesOf(
  more: KubeObject[],
  { tcp = false, authority = 'cart', destination = '10.96.0.1:80', narrowed = true } = {},
) {
  const catalog = createCatalog({ clusterDomain: config.clusterDomain });
  for (const object of [...app('shop/cart', '10.96.0.1', '10.1.0.1'), ...more])
    catalog.upsert(object);
  const caller: Caller = {
    ...{ namespace: 'shop', labels: {}, network: '', firstCall: 'direct' },
    ...{ barrier: () => undefined, mayLearn: () => true, imports: true, isNarrowed: narrowed },
  };
  const view = meshView({ catalog, arrivals: createArrivals() }, config, 0);
  return decide(view, caller, { tcp, authority, destination }).retries;
}

function meshConfig(mesh: string, name = 'istio'): KubeObject {
  const metadata = { namespace: 'istio-system', name };
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { mesh } };
}

const thrice = meshConfig('defaultHttpRetryPolicy: {attempts: 3, retryOn: 5xx}');

describe('a first call is repeated after a response', () => {
  test('as Istio does by default', () => {
    expect(retriesOf([])).toEqual(istioRetries);
  });

  test('as the mesh configuration says', () => {
    expect(retriesOf([thrice])).toMatchObject({ attempts: 3, on: '5xx' });
    expect(retriesOf([meshConfig('defaultHttpRetryPolicy: {attempts: 0}')])).toBeUndefined();
  });

  test('as the revision of the caller says, and not where two revisions differ', () => {
    const canary = pod('shop/web', { ip: '10.1.0.9', revision: 'canary', labels: { app: 'web' } });
    const other = meshConfig('defaultHttpRetryPolicy: {attempts: 4}', 'istio-canary');
    expect(retriesOf([canary, thrice, other])).toBeUndefined();
    const same = meshConfig('defaultHttpRetryPolicy: {attempts: 3, retryOn: 5xx}', 'istio-canary');
    expect(retriesOf([canary, thrice, same])).toMatchObject({ attempts: 3 });
  });

  test.each([
    [
      'where a VirtualService decides',
      [istio('VirtualService', 'shop/cart', { hosts: ['cart'], http: [] })],
      {},
    ],
    ['on a connection', [], { tcp: true }],
    ['outside the mesh', [], { authority: 'example.com', destination: '1.2.3.4:80' }],
    ['while no scope is in force', [], { narrowed: false }],
  ])('but never %s', (_what, more, call) => {
    expect(retriesOf(more, call)).toBeUndefined();
  });
});

test('the filter is told in headers, without those that say nothing', () => {
  const answer = {
    ...{ id: 1, strategy: 'direct', otherwise: '', sni: 'a', identities: [], ttlSeconds: 1 },
    ...{ millisecondsSinceScopeWritten: 0, reason: '' },
  };
  const retries = readRetryPolicy({ attempts: 3, retryOn: '503,cancelled', perTryTimeout: '2s' });
  expect(answerHeaders({ ...answer, retries }, 1)).toMatchObject({
    'x-lazyscope-retries': '3',
    'x-lazyscope-retry-on': 'retriable-status-codes',
    'x-lazyscope-retry-grpc-on': 'cancelled',
    'x-lazyscope-retry-codes': '503',
    'x-lazyscope-retry-timeout': '2000',
  });
  const byDefault = Object.keys(answerHeaders({ ...answer, retries: istioRetries }, 1));
  expect(byDefault.filter((name) => name.startsWith('x-lazyscope-retr'))).toEqual([
    'x-lazyscope-retries',
    'x-lazyscope-retry-grpc-on',
  ]);
  expect(answerHeaders({ ...answer, retries: null }, 1)).not.toHaveProperty('x-lazyscope-retries');
});
