import type { ProxyCount } from './plan.ts';
import type { PodRecord } from './records.ts';

/** How the proxies are doing, as their nodes tell. */

export type ProxyStats = { allocatedBytes: number; physicalBytes: number; clusters: number };

export type ProxyState = {
  namespace: string;
  pod: string;
  uid: string;
  filterVersion: string;
  /** Milliseconds since the epoch; 0 when no filter of the proxy was ever heard. */
  heartbeatAt: number;
  /** Milliseconds since the epoch: the node still knows the proxy. */
  reportedAt: number;
  overflow: number;
  stats: ProxyStats | undefined;
  /** Milliseconds since the epoch at which `stats` were read; 0 without. */
  measuredAt: number;
  /** Milliseconds since the epoch: when a live filter of the proxy was first told of; 0: never. */
  firstLiveAt: number;
};

/** What one report says; the rest is remembered from those before. */
export type ProxyTold = Omit<ProxyState, 'firstLiveAt'>;

/** The filter speaks at least every 30 s: two lost heartbeats are bad luck, three are silence. */
export const liveMs = 90_000;
/** A node that forgot to say goodbye is silent for ten reports. */
const forgottenMs = 300_000;
/** A proxy that is well answers its node within milliseconds; one that cannot must not hold up a scope. */
const measureMs = 10_000;

export type ProxyTable = {
  report(told: ProxyTold): void;
  gone(proxy: { namespace: string; pod: string; uid: string }): void;
  of(pod: PodRecord): ProxyState | undefined;
  count(pods: readonly PodRecord[], now: number): ProxyCount;
  /** Drops proxies that nobody has spoken of for long; returns how many. */
  expire(now: number): number;
  values(): Iterable<ProxyState>;
};

export function createProxyTable(): ProxyTable {
  const proxies = new Map<string, ProxyState>();
  const keyOf = ({ namespace, pod }: { namespace: string; pod: string }) => `${namespace}/${pod}`;

  // A pod of the same name with another uid is another proxy: a StatefulSet reuses names.
  function of({ namespace, name, uid }: PodRecord): ProxyState | undefined {
    const state = proxies.get(`${namespace}/${name}`);
    return state?.uid === uid ? state : undefined;
  }

  return {
    report(told) {
      const last = proxies.get(keyOf(told));
      const known = last?.uid === told.uid ? last : undefined;
      const { stats, measuredAt } = told.stats ? told : (known ?? told);
      const firstLiveAt = known?.firstLiveAt || (told.heartbeatAt > 0 ? told.reportedAt : 0);
      proxies.set(keyOf(told), { ...told, stats, measuredAt, firstLiveAt });
    },
    gone(proxy) {
      if (proxies.get(keyOf(proxy))?.uid === proxy.uid) proxies.delete(keyOf(proxy));
    },
    of,
    count(pods, now) {
      // Without an address nothing runs in the pod yet: one that hangs there must not hold up others.
      const started = pods.filter(({ ips }) => ips.length > 0);
      const live = started.filter((pod) => now - (of(pod)?.heartbeatAt ?? 0) <= liveMs);
      const unmeasured = live.flatMap((pod) => {
        const state = of(pod);
        return state && !state.stats ? state.firstLiveAt + measureMs - now : [];
      });
      return {
        total: started.length,
        live: live.length,
        unmeasured: unmeasured.length,
        measuringMs: Math.max(0, ...unmeasured),
      };
    },
    expire(now) {
      const before = proxies.size;
      for (const [key, { reportedAt }] of proxies) {
        if (now - reportedAt > forgottenMs) proxies.delete(key);
      }
      return before - proxies.size;
    },
    values: () => proxies.values(),
  };
}
