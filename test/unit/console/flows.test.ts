import { expect, test } from 'vitest';
import type { Edge } from '../../../console/answers.ts';
import {
  differences,
  type Flow,
  flowsOf,
  namespaceFlows,
  shortHost,
} from '../../../console/flows.ts';

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
const lines = (flows: readonly Flow[]) =>
  flows.map(({ from, to, rate, isNew, isOutside, isCaller }) =>
    [from, to, rate, isNew && 'new', isOutside && 'outside', isCaller && 'caller']
      .filter((each) => each)
      .join(' '),
  );

test('namespaces are drawn as the server sums them', () => {
  const pair = { namespace: 'shop', pairs: 3, firstAt: 60, lastAt: 100 };
  const flows = namespaceFlows(
    [
      { ...pair, to: 'bank', isOutside: false, rate: 6 },
      { ...pair, to: '', isOutside: true, rate: 1, firstAt: 0 },
    ],
    50,
  );
  expect(lines(flows)).toEqual(['shop bank 6 new', 'shop outside the mesh’s Services 1 outside']);
});

test('one workload stands between its callers and its hosts; a search shows namespaces too', () => {
  const shop = edges.filter(({ namespace }) => namespace === 'shop');
  expect(lines(flowsOf(shop, { namespace: 'shop' }, 50))).toEqual([
    'cart pay.bank 4',
    'web cart.shop 3',
    'web pay.bank 2 new',
  ]);
  const around = [...edges, edge('ops', 'audit', 'bank/pay.bank.svc.cluster.local', 0.5)];
  expect(lines(flowsOf(around.slice(2), { namespace: 'bank', workload: 'pay' }, 50))).toEqual([
    'shop/cart pay 4 caller',
    'pay api.example.com 1 outside',
    'ops/audit pay 0.5 caller',
  ]);
  expect(lines(flowsOf(edges.slice(0, 1), {}, 50))).toEqual(['shop/web cart.shop 3']);
});

test.each([
  ['shop/cart.shop.svc.cluster.local', 'cart.shop'],
  ['bank/api.example.com', 'api.example.com'],
  ['*/*', '*'],
  ['odd', 'odd'],
])('%s is shown as %s', (entry, text) => {
  expect(shortHost(entry)).toBe(text);
});

test('two times differ by what came, what went and what changed by more than a quarter', () => {
  const before = flowsOf(edges.slice(0, 3), { namespace: 'shop' }, 0);
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
