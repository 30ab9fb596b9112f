import { matchesHost } from '../../companion/core/mesh/host-pattern.ts';
import type { ScopeRecord } from '../../companion/core/scope/workload-scope.ts';

/** A workload that has a host in its scope. */
export type Caller = {
  namespace: string;
  workload: string;
  /** The entry of its scope: `namespace/host`, which may be a wildcard. */
  entry: string;
  /** `learned`: it was seen calling. Any other reason: it imports the host without a call. */
  reason: string;
  mode: string;
  firstSeen?: string;
  /** Rounded down to the hour, but not to a time before `firstSeen`. */
  lastSeen?: string;
  message?: string;
};

/**
 * Who has a host in its scope; those that were seen calling first, each group by name. `name` is a
 * host, `namespace/host`, or the beginning of a Service's name: `cart`, `cart.shop`.
 */
export function callersOf(scopes: readonly ScopeRecord[], name: string): Caller[] {
  return scopes
    .flatMap(({ namespace, name: workload, status }) =>
      (status?.hosts ?? [])
        .filter(({ host }) => isMeant(host, name.toLowerCase()))
        .map(({ host: entry, reason, message, firstSeen, lastSeen }) => ({
          ...{ namespace, workload, entry, reason, mode: status?.mode ?? 'unknown' },
          ...(firstSeen && { firstSeen }),
          ...(lastSeen && { lastSeen: later(firstSeen, lastSeen) }),
          ...(message && { message }),
        })),
    )
    .sort((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1));
}

/** Of two times of the same form; a use in the hour of the first one is recorded as before it. */
function later(firstSeen: string | undefined, lastSeen: string): string {
  return firstSeen && firstSeen > lastSeen ? firstSeen : lastSeen;
}

function orderOf({ reason, namespace, workload, entry }: Caller): string {
  return [reason === 'learned' ? 0 : 1, namespace, workload, entry].join(' ');
}

/** Whether an entry of a scope brings the named host. */
export function isMeant(entry: string, name: string): boolean {
  const [namespace = '', host = ''] = entry.split('/');
  const [first = '', second] = name.split('/');
  if (second !== undefined) {
    return (namespace === first || namespace === '*') && matchesHost(host, second);
  }
  const labels = first.split('.');
  // All hosts of a namespace: whether the named one is of it, only the name of a Service says.
  if (host === '*') return namespace === '*' || namespace === labels[1];
  if (matchesHost(host, first)) return true;
  // `cart` and `cart.shop` are names of Services; `example.com` is none.
  const isShort = labels.length <= 3 && /\.svc\./.test(host);
  return isShort && host.startsWith(`${first}.`);
}
