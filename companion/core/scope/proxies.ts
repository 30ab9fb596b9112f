import type { PodRecord } from '../mesh/pod-record.ts';
import type { NodeStreams } from './node-streams.ts';

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

/** Counts of a workload's proxies. */
export type ProxyCount = {
  /** Those of lost nodes are not counted: they call nothing that anybody could see. */
  total: number;
  /** With a filter that was heard of recently. */
  live: number;
  /** Milliseconds for which the most silent one was not heard, as far as this replica knows. */
  silentMs: number;
  /**
   * The same, of proxies whose node was heard all the while: their filters do not speak for
   * certain.
   */
  judgedMs: number;
  /** For how long at least `silentShare` of the proxies was silent for certain. */
  quorumMs: number;
  /** No node at all is heard. */
  isDeaf: boolean;
  /** Proxies on lost nodes. */
  lost: number;
  /** Live ones whose memory was never read. */
  unmeasured: number;
  /** Milliseconds until nobody waits for their figures any more. */
  measuringMs: number;
};

/** What one report says; the rest is remembered from those before. */
export type ProxyTold = Omit<ProxyState, 'firstLiveAt'>;

/** The filter speaks at least every 30 s: two lost heartbeats are bad luck, three are silence. */
export const liveMs = 90_000;
/** A node that forgot to say goodbye is silent for ten reports. */
const forgottenMs = 300_000;
/**
 * A proxy that is well answers its node within milliseconds; one that cannot must not hold up a
 * scope.
 */
const measureMs = 10_000;

/**
 * The share of silent proxies that takes the scope of a workload away. One broken pod of many is
 * better restarted than paid for by all the others with the configuration of the whole mesh.
 */
export const silentShare = 0.25;

export type ProxyTable = {
  report(told: ProxyTold): void;
  gone(proxy: { namespace: string; pod: string; uid: string }): void;
  of(pod: PodRecord): ProxyState | undefined;
  /** A pod that was never heard is silent from when it was first counted. */
  count(pods: readonly PodRecord[], now: number): ProxyCount;
  /** Drops proxies that nobody has spoken of for long; returns how many. */
  expire(now: number): number;
  values(): Iterable<ProxyState>;
};

/** Without streams every node counts as heard all the time. */
export function createProxyTable(
  streams: Pick<NodeStreams, 'since' | 'size'> = { since: () => 0, size: () => 1 },
): ProxyTable {
  const proxies = new Map<string, ProxyState>();
  // By uid, when the filter was last heard; kept while the pod is counted, even if its node forgot
  // it.
  const heard = new Map<string, { at: number; countedAt: number }>();
  const keyOf = ({ namespace, pod }: { namespace: string; pod: string }) => `${namespace}/${pod}`;

  // A pod of the same name with another uid is another proxy: a StatefulSet reuses names.
  function of({ namespace, name, uid }: PodRecord): ProxyState | undefined {
    const state = proxies.get(`${namespace}/${name}`);
    return state?.uid === uid ? state : undefined;
  }

  function heardAt({ uid }: PodRecord, now: number): number {
    const known = heard.get(uid) ?? { at: now, countedAt: now };
    known.countedAt = now;
    heard.set(uid, known);
    return known.at;
  }

  return {
    report(told) {
      const last = proxies.get(keyOf(told));
      const known = last?.uid === told.uid ? last : undefined;
      const { stats, measuredAt } = told.stats ? told : (known ?? told);
      const firstLiveAt = known?.firstLiveAt || (told.heartbeatAt > 0 ? told.reportedAt : 0);
      proxies.set(keyOf(told), { ...told, stats, measuredAt, firstLiveAt });
      const { at = 0, countedAt = told.reportedAt } = heard.get(told.uid) ?? {};
      if (told.heartbeatAt > at) heard.set(told.uid, { at: told.heartbeatAt, countedAt });
    },
    gone(proxy) {
      if (proxies.get(keyOf(proxy))?.uid === proxy.uid) proxies.delete(keyOf(proxy));
    },
    of,
    count(pods, now) {
      // Where no proxy runs yet, or any more, none can report: such a pod must not hold up others.
      const placed = pods.filter(({ ips, proxyRunning }) => ips.length > 0 && proxyRunning);
      const started = placed.filter(({ nodeLost }) => !nodeLost);
      const silences = started.map((pod) => now - heardAt(pod, now));
      const judged = started
        .map((pod) => now - Math.max(heardAt(pod, now), streams.since(pod.node) ?? now))
        .sort((a, b) => b - a);
      const live = started.filter((pod) => now - (of(pod)?.heartbeatAt ?? 0) <= liveMs);
      const unmeasured = live.flatMap((pod) => {
        const state = of(pod);
        return state && !state.stats ? state.firstLiveAt + measureMs - now : [];
      });
      return {
        total: started.length,
        live: live.length,
        silentMs: Math.max(0, ...silences),
        judgedMs: judged[0] ?? 0,
        // Of all, lost ones too: a node that goes must not make a few silent proxies a quorum.
        quorumMs: judged[Math.max(1, Math.ceil(silentShare * placed.length)) - 1] ?? 0,
        isDeaf: streams.size() === 0,
        lost: placed.length - started.length,
        unmeasured: unmeasured.length,
        measuringMs: Math.max(0, ...unmeasured),
      };
    },
    expire(now) {
      const before = proxies.size;
      for (const [key, { reportedAt }] of proxies) {
        if (now - reportedAt > forgottenMs) proxies.delete(key);
      }
      for (const [uid, { countedAt }] of heard) {
        if (now - countedAt > forgottenMs) heard.delete(uid);
      }
      return before - proxies.size;
    },
    values: () => proxies.values(),
  };
}
