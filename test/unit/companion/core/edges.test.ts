import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createEdgeStore, destinationsMax } from '../../../../companion/core/scope/edges.ts';

const source = { namespace: 'shop', owner: 'web' };
const cart = { namespace: 'shop', host: 'cart.shop.svc.cluster.local' };

test('the first sighting of a destination is distinguished from later ones', () => {
  const store = createEdgeStore();
  expect(store.see(source, cart, 10)).toBe('first');
  expect(store.see(source, cart, 20)).toBe('again');
  expect(store.see({ ...source, owner: 'other' }, cart, 20)).toBe('first');
});

test('sightings that come late or twice only ever widen the span', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(), { minLength: 1 }), (times) => {
      const store = createEdgeStore();
      for (const time of times) store.see(source, cart, time);
      expect(store.edgesFrom(source)).toEqual([
        { ...cart, firstSeen: Math.min(...times), lastSeen: Math.max(...times) },
      ]);
    }),
  );
});

test('an owner with too many destinations gets no more, and the refusals are counted', () => {
  const store = createEdgeStore();
  for (let n = 0; n < destinationsMax; n++) {
    store.see(source, { namespace: 'shop', host: `h${n}` }, 1);
  }
  expect(store.see(source, cart, 1)).toBe('full');
  expect(store.overflow()).toBe(1);
  expect(store.size()).toBe(destinationsMax);
  expect(store.see({ ...source, owner: 'other' }, cart, 1)).toBe('first');
});

test('destinations that an earlier process had learned come back', () => {
  const before = createEdgeStore();
  before.see(source, cart, 10);
  before.see(source, cart, 30);
  const after = createEdgeStore();
  after.see(source, cart, 20);
  after.restore(source, before.edgesFrom(source));
  expect(after.edgesFrom(source)).toEqual(before.edgesFrom(source));
});

test('a forgotten destination is gone, and all others stay', () => {
  const store = createEdgeStore();
  const pay = { namespace: 'bank', host: 'pay' };
  const others = { namespace: 'shop-2', owner: 'web' };
  for (const from of [source, { ...source, owner: 'api' }, others]) {
    store.see(from, cart, 1);
    store.see(from, pay, 1);
  }
  store.forget(source, cart);
  store.forget(source, { namespace: 'bank', host: 'unknown' });
  expect([store.edgesFrom(source).map(({ host }) => host), store.size()]).toEqual([['pay'], 5]);
  expect(store.see(source, cart, 2)).toBe('first');
  store.forget(source);
  expect([store.edgesFrom(source), store.size()]).toEqual([[], 4]);
  store.forgetNamespace('shop');
  expect([store.edgesFrom(others).length, store.size()]).toEqual([2, 2]);
});
