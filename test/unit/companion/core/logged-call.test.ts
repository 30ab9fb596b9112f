import { expect, test } from 'vitest';
import { type LoggedCall, usesOf } from '../../../../companion/core/first-call/logged-call.ts';

const call = (more: Partial<LoggedCall>): LoggedCall => ({
  ...{ tcp: false, cluster: '', name: 'reviews:9080', address: '10.96.0.7:9080', isOver: true },
  ...more,
});
const unknown = { tcp: false, authority: 'reviews:9080', destination: '10.96.0.7:9080' };
const reviews = 'outbound|9080|v2|reviews.shop.svc.cluster.local';

test.each([
  ['a request', call({ cluster: reviews }), [{ edge: { cluster: reviews }, calls: 1 }]],
  [
    'a name for statistics',
    call({ cluster: `${reviews};` }),
    [{ edge: { cluster: reviews }, calls: 1 }],
  ],
  [
    'a stream that goes on',
    call({ cluster: reviews, isOver: false }),
    [{ edge: { cluster: reviews }, calls: 0 }],
  ],
  ['a request without a host', call({}), [{ edge: { unknown }, calls: 1 }]],
  [
    'a request that passed through',
    call({ cluster: 'PassthroughCluster' }),
    [{ edge: { unknown }, calls: 1 }],
  ],
  [
    'a request to nowhere',
    call({ cluster: 'BlackHoleCluster' }),
    [{ edge: { unknown }, calls: 1 }],
  ],
  ['a first call', call({ cluster: 'lazyscope-direct' }), [{ edge: { unknown }, calls: 1 }]],
  ['a call to the app', call({ cluster: 'inbound|9080||' }), []],
  ['a call to another port of the app', call({ cluster: 'InboundPassthroughCluster' }), []],
  ['an entry without an address', call({ address: '' }), []],
])('%s is a use of what it names', (_, logged, uses) => {
  expect(usesOf(logged)).toEqual(uses);
});

test('an unknown connection is a use of its address, and of its SNI without another count', () => {
  const address = { tcp: true, authority: '', destination: '10.96.0.7:443' };
  const logged = call({ tcp: true, name: '', address: '10.96.0.7:443' });
  expect(usesOf(logged)).toEqual([{ edge: { unknown: address }, calls: 1 }]);
  expect(usesOf({ ...logged, name: 'api.example.com' })).toEqual([
    { edge: { unknown: address }, calls: 1 },
    { edge: { unknown: { ...address, tcp: false, authority: 'api.example.com' } }, calls: 0 },
  ]);
});

test('a name that no host can have leaves the address', () => {
  const edge = { unknown: { ...unknown, authority: '' } };
  for (const name of ['a'.repeat(513), 'a b', 'é', 'a\0b'])
    expect(usesOf(call({ name }))).toEqual([{ edge, calls: 1 }]);
});
