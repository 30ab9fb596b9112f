import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { callersOf, isMeant } from '../../../command/core/callers.ts';
import { statusOf } from '../../../command/core/status.ts';
import { readWorkloadScope } from '../../../companion/core/scope/workload-scope.ts';
import { commandLine, objectCluster } from './host.ts';
import { learned, narrowed, scope } from './objects.ts';

const now = Date.parse('2026-11-28T12:00:00Z');
const cart = 'shop/cart.shop.svc.cluster.local';
const objects = [
  narrowed('shop/web', [learned(cart)]),
  scope('shop/cart', { ready: 'Learning', memory: { beforeBytes: 120e6 } }),
  scope('billing/invoices', {
    mode: 'enforce',
    scoped: 'ForeignSidecar',
    ready: 'ForeignSidecar',
    hosts: [{ host: 'shop/*', reason: 'pinned' }],
  }),
];
const cluster = objectCluster(objects, { namespace: 'shop' });

describe('status', () => {
  test('each workload has its mode, its obstacle and its saving', async () => {
    const { code, out } = await commandLine('status -A', cluster);
    expect(code).toBe(0);
    expect(out).toBe(
      `${[
        'NAMESPACE   WORKLOAD   MODE      SCOPED           IN-THE-WAY       HOSTS   PROXIES   CLUSTERS     MEMORY              SAVED',
        'billing     invoices   enforce   ForeignSidecar   ForeignSidecar   1       1/1       -            -                   -',
        'shop        cart       observe   Observing        Learning         0       1/1       -            120.0MB             -',
        'shop        web        enforce   Enforced         -                1       2/2       2062 -> 21   120.0MB -> 20.0MB   200.0MB',
        '',
        'NAMESPACE   WORKLOADS   NARROWED   PROXIES   SAVED',
        'billing     1           0          1         -',
        'shop        2           1          3         200.0MB',
        '',
        '1 of 3 workloads in 2 namespaces narrowed, with 4 proxies in all; their memory went from 240.0MB to 40.0MB: 200.0MB saved.',
      ].join('\n')}\n`,
    );
  });

  test('without -A it shows the namespace of the context, and with -n another one', async () => {
    expect((await commandLine('status', cluster)).out).not.toContain('invoices');
    expect((await commandLine('status -n billing', cluster)).out).toContain('invoices');
  });

  test('with a price the saving is shown in money', async () => {
    const { out } = await commandLine('status --price-gib-month 10 -o json', cluster);
    expect(JSON.parse(out).total.savedPerMonth).toBeCloseTo((200e6 / 1024 ** 3) * 10);
    const refused = await commandLine('status --price-gib-month much', cluster);
    expect(refused).toMatchObject({ code: 64, err: expect.stringContaining("'much' is invalid") });
  });

  test.each([
    ['before it is narrowed', {}, '2026-11-28T11:51:00Z', '2026-11-28T11:49:00Z'],
    [
      'when it was narrowed',
      { mode: 'enforce', scoped: 'Enforced' },
      '2026-11-20T07:51:00Z',
      '2026-11-20T07:49:00Z',
    ],
  ])('a size of the first minutes is said to be early, %s', async (_, options, early, late) => {
    const shown = async (learningSince: string) => {
      const object = scope('shop/web', {
        ...options,
        memory: { beforeBytes: 30e6, afterBytes: 12e6 },
      });
      object.status.learningSince = learningSince;
      return (await commandLine('status -n shop', objectCluster([object]))).out;
    };
    expect(await shown(early)).toContain('The memory before of 1 workload was measured within 10');
    expect(await shown(late)).not.toContain('The memory before');
  });

  test('the wide form describes the obstacle in words', async () => {
    expect((await commandLine('status -o wide', cluster)).out).toContain('Learning in words.');
  });

  test('without scopes the command prints how to get some', async () => {
    const { code, out } = await commandLine('status -A', objectCluster([]));
    expect(code).toBe(0);
    expect(out).toContain('kubectl label namespace NAME lazyscope.io/mode=observe');
  });

  test('an object that no controller has evaluated breaks nothing', () => {
    const [row] = statusOf([readWorkloadScope({ ...scope('shop/new'), status: undefined })], {
      priceGibMonth: 1,
      now,
    }).workloads;
    expect(row).toMatchObject({ mode: 'unknown', reason: 'NotLookedAt', savedBytes: 0 });
  });

  test('the totals are the sums of the workloads', () => {
    const figure = fc.option(fc.integer({ min: 1, max: 1e9 }), { nil: undefined });
    const anyScope = fc
      .record({
        path: fc.constantFrom('a/x', 'a/y', 'b/z'),
        ...{ beforeBytes: figure, afterBytes: figure, isOn: fc.boolean() },
        proxies: fc.integer({ min: 0, max: 9 }),
      })
      .map(({ path, isOn, proxies, ...memory }) =>
        readWorkloadScope(
          scope(path, { proxies, memory: memory as object, ...(isOn && { scoped: 'Enforced' }) }),
        ),
      );
    fc.assert(
      fc.property(fc.array(anyScope, { maxLength: 8 }), (scopes) => {
        const { workloads, namespaces, total } = statusOf(scopes, { priceGibMonth: 2, now });
        const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
        expect(total.savedBytes).toBe(sum(workloads.map(({ savedBytes }) => savedBytes)));
        expect(total.savedBytes).toBe(sum(namespaces.map(({ savedBytes }) => savedBytes)));
        expect(total.memoryBytes.before - total.memoryBytes.after).toBe(total.savedBytes);
      }),
    );
  });
});

describe('callers', () => {
  test('workloads that called the host come first, then workloads that only import it', async () => {
    const { code, out } = await commandLine('callers cart.shop', cluster);
    expect(code).toBe(0);
    expect(out).toBe(
      `${[
        'NAMESPACE   WORKLOAD   MODE      REASON    HOST                               FIRST-SEEN             LAST-SEEN',
        `shop        web        enforce   learned   ${cart}   2026-11-20T08:30:00Z   2026-11-28T10:00:00Z`,
        'billing     invoices   enforce   pinned    shop/*                             -                      -',
      ].join('\n')}\n`,
    );
    const full = callersOf(objects.map(readWorkloadScope), cart);
    expect(full.map(({ workload, reason }) => [workload, reason])).toEqual([
      ['web', 'learned'],
      ['invoices', 'pinned'],
    ]);
  });

  test('the last use is never before the first one, though it is recorded to the hour', async () => {
    const first = { firstSeen: '2026-11-28T10:31:00Z', lastSeen: '2026-11-28T10:00:00Z' };
    const today = objectCluster([narrowed('shop/web', [learned(cart, first)])]);
    const { out } = await commandLine('callers cart.shop -o json', today);
    expect(JSON.parse(out).callers).toMatchObject([
      { firstSeen: first.firstSeen, lastSeen: first.firstSeen },
    ]);
  });

  test('a host without callers is no error', async () => {
    const { code, out } = await commandLine('callers nowhere', cluster);
    expect([code, out]).toEqual([0, expect.stringContaining('No scope has nowhere')]);
  });

  test.each([
    [cart, 'cart', true],
    [cart, 'cart.shop', true],
    [cart, 'cart.shop.svc', true],
    [cart, 'cart.shop.svc.cluster.local', true],
    [cart, 'shop/cart.shop.svc.cluster.local', true],
    [cart, 'other/cart.shop.svc.cluster.local', false],
    [cart, 'car', false],
    [cart, 'shop', false],
    ['shop/*', 'other/cart.other', false],
    ['shop/*', 'cart.other', false],
    ['shop/*', 'cart', false],
    ['*/*.example.com', 'api.example.com', true],
    ['shop/api.example.com', 'api', false],
  ])('the entry %s for the name %s: %s', (entry, name, expected) => {
    expect(isMeant(entry, name)).toBe(expected);
  });
});
