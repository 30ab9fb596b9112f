import type { Called, EdgeCalls } from '../../core/history/edges.ts';
import { durationMs } from '../../core/scope/expiry.ts';
import type { ScopeRecord } from '../../core/scope/workload-scope.ts';

/** What the scope of a caller, as it is now, says of a host beyond that it has it. */

/** `expiresAt`: when it leaves the scope unless it is called, in milliseconds since the epoch. */
export type Mark = { mark?: 'eager' | 'expiring'; expiresAt?: number };

/** A learned host that was unused for this share of its time is expiring. */
const expiringShare = 0.5;

type Host = NonNullable<ScopeRecord['status']>['hosts'][number];

function markOf(host: Host, ttlMs: number, now: number, calledAt: number): Mark {
  if (host.reason === 'eager') return { mark: 'eager' };
  if (host.reason !== 'learned' || !ttlMs) return {};
  // Scopes say it to the hour.
  const usedAt = Math.max(Date.parse(host.lastSeen ?? '') || 0, calledAt);
  if (usedAt === 0 || now - usedAt <= expiringShare * ttlMs) return {};
  return { mark: 'expiring', expiresAt: usedAt + ttlMs };
}

export type Marks = {
  of(edge: Called & { lastAt: number }): Mark;
  /** Eager and expiring hosts of a scope that were not called within the time that is shown. */
  idle(record: ScopeRecord, isCalled: (host: string) => boolean): (EdgeCalls & Mark)[];
};

export function createMarks(
  get: (namespace: string, name: string) => ScopeRecord | undefined,
  now: number,
): Marks {
  const hostsOf = new Map<string, Map<string, Host>>();
  const ttlOf = ({ status }: ScopeRecord) => durationMs(status?.expiry?.ttl) ?? 0;

  function hostsIn(record: ScopeRecord): Map<string, Host> {
    const key = `${record.namespace}/${record.name}`;
    const known = hostsOf.get(key);
    if (known) return known;
    const hosts = new Map((record.status?.hosts ?? []).map((host) => [host.host, host]));
    hostsOf.set(key, hosts);
    return hosts;
  }

  return {
    of({ namespace, workload, host, lastAt }) {
      const record = get(namespace, workload);
      const found = record && hostsIn(record).get(host);
      return found ? markOf(found, ttlOf(record), now, lastAt) : {};
    },
    idle(record, isCalled) {
      const { namespace, name: workload } = record;
      return [...hostsIn(record).values()].flatMap((host) => {
        if (isCalled(host.host)) return [];
        const mark = markOf(host, ttlOf(record), now, 0);
        if (!mark.mark) return [];
        const [firstAt, lastAt] = [host.firstSeen, host.lastSeen].map(
          (time) => Date.parse(time ?? '') || 0,
        );
        const times = { firstAt: firstAt ?? 0, lastAt: lastAt ?? 0 };
        return [{ namespace, workload, host: host.host, ...times, total: 0, calls: 0, ...mark }];
      });
    },
  };
}
