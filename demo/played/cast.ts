/**
 * A shop of a dozen workloads that the demo plays, so that the page shows more than its two real
 * sidecars. Names, hosts and rates are made up.
 */

export type PlayedCall = { host: string; perSecond: number };

export type PlayedWorkload = {
  namespace: string;
  name: string;
  proxies: number;
  mode: 'observe' | 'enforce';
  calls: readonly PlayedCall[];
  /** Seconds after the beginning at which its scope comes into force. */
  scopedAfter: number | 'never';
};

export const service = (name: string, namespace: string) =>
  `${namespace}/${name}.${namespace}.svc.cluster.local`;

const web = 'storefront';
const pay = 'payments';
const ops = 'backoffice';
const bankApi = `${pay}/api.bank.example`;
const mailApi = `${ops}/smtp.mail.example`;

function workload(
  namespace: string,
  name: string,
  proxies: number,
  calls: Record<string, number>,
  scopedAfter: PlayedWorkload['scopedAfter'] = 0,
): PlayedWorkload {
  return {
    ...{ namespace, name, proxies, scopedAfter },
    mode: scopedAfter === 'never' ? 'observe' : 'enforce',
    calls: Object.entries(calls).map(([host, perSecond]) => ({ host, perSecond })),
  };
}

/** Speaks a protocol of its own, so scopes have it before it is called. */
export const eager = service('sessions', web);

/** The workload whose scope comes into force while somebody looks. */
export const narrowing = { namespace: web, name: 'checkout', afterSeconds: 20 };

/** A host that is called now and then: it comes by a first call, and expires again. */
export const passing = {
  ...{ namespace: ops, name: 'reports' },
  host: service('mailer', ops),
  perSecond: 0.5,
  /** Seconds within each round: when it is called first, called last, and leaves the scope. */
  ...{ roundSeconds: 180, first: 30, last: 60, gone: 120 },
};

export const cast: readonly PlayedWorkload[] = [
  workload(web, 'web', 4, {
    [service('catalog', web)]: 42,
    [service('cart', web)]: 18,
    [service('search', web)]: 12,
    [service('sessions', web)]: 60,
  }),
  workload(web, 'catalog', 3, { [service('prices', web)]: 31, [service('images', web)]: 9 }),
  workload(web, 'cart', 2, { [service('sessions', web)]: 14, [service('checkout', web)]: 3 }),
  workload(web, 'search', 2, { [service('catalog', web)]: 8 }),
  workload(
    web,
    'checkout',
    2,
    { [service('payments', pay)]: 3, [service('prices', web)]: 3, [service('orders', ops)]: 3 },
    narrowing.afterSeconds,
  ),
  workload(pay, 'payments', 3, {
    [service('ledger', pay)]: 6,
    [service('fraud', pay)]: 3,
    [bankApi]: 2.5,
  }),
  workload(pay, 'fraud', 2, { [service('ledger', pay)]: 1.5, [service('models', pay)]: 3 }),
  workload(pay, 'ledger', 2, { [service('archive', ops)]: 0.8 }),
  workload(ops, 'orders', 2, {
    [service('stock', ops)]: 4,
    [service('mailer', ops)]: 1,
    [service('ledger', pay)]: 1,
  }),
  workload(ops, 'stock', 1, { [service('archive', ops)]: 0.3 }),
  workload(ops, 'mailer', 1, { [mailApi]: 1.2 }),
  workload(ops, 'reports', 1, { [service('orders', ops)]: 0.7, [service('archive', ops)]: 0.4 }),
  workload(ops, 'audit', 1, { [service('ledger', pay)]: 0.2 }, 'never'),
];

export const playedNamespaces: readonly string[] = [web, pay, ops];
