import { expect, test } from 'vitest';
import type { Edge } from '../../../console/answers.ts';
import { differences, flowsOf } from '../../../console/flows.ts';

const edge = (namespace: string, workload: string, host: string, rate = 1, firstAt = 0): Edge => ({
  ...{ namespace, workload, host, rate, firstAt },
  lastAt: 100,
});
const edges = [
  edge('shop', 'web', 'shop/cart.shop.svc.cluster.local', 3),
  edge('shop', 'web', 'bank/pay.bank.svc.cluster.local', 2, 60),
  edge('shop', 'cart', 'bank/pay.bank.svc.cluster.local', 4),
  edge('bank', 'pay', 'bank/api.example.com'),
];
const lines = (place: Parameters<typeof flowsOf>[1]) =>
  flowsOf(edges, place, 50).map(({ from, to, rate, isNew, isOutside }) =>
    [from, to, rate, isNew && 'new', isOutside && 'outside'].filter((each) => each).join(' '),
  );

test('namespaces come first, then the workloads of one, then one workload', () => {
  expect(lines({})).toEqual([
    'shop bank 6',
    'shop shop 3',
    'bank outside the mesh’s Services 1 outside',
  ]);
  expect(lines({ namespace: 'shop' })).toEqual([
    'cart pay.bank.svc.cluster.local 4',
    'web cart.shop.svc.cluster.local 3',
    'web pay.bank.svc.cluster.local 2 new',
  ]);
  expect(lines({ namespace: 'shop', workload: 'cart' })).toEqual([
    'cart pay.bank.svc.cluster.local 4',
  ]);
});

test('two times differ by what came, what went and what changed by more than a quarter', () => {
  const before = flowsOf(edges, { namespace: 'shop' }, 0);
  const after = flowsOf(
    [
      edge('shop', 'web', 'shop/cart.shop.svc.cluster.local', 3.5),
      edge('shop', 'web', 'bank/pay.bank.svc.cluster.local', 9),
      edge('shop', 'job', 'bank/pay.bank.svc.cluster.local', 1),
    ],
    { namespace: 'shop' },
    0,
  );
  expect(
    differences(before, after).map(({ from, before: was, after: is }) => [from, was, is]),
  ).toEqual([
    ['web', 2, 9],
    ['cart', 4, 0],
    ['job', 0, 1],
  ]);
});
