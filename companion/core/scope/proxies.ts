import type { PodRecord } from '../mesh/pod-record.ts';
import { sharedText } from '../mesh/shared-text.ts';
import type { NodeStreams } from './node-streams.ts';

/** The state of the proxies, as their node companions report it. */

export type ProxyStats = { allocatedBytes: number; physicalBytes: number; clusters: number };

export type ProxyState = {
  namespace: string;
  pod: string;
  uid: string;
  filterVersion: string;
  /** Milliseconds since the epoch; 0 if no filter of the proxy has ever reported. */
  heartbeatAt: number;
  /**
   * Milliseconds since the epoch from which on its access log lost nothing; 0 or absent for a
   * filter, which repeats what was lost.
   */
  unbrokenSince?: number;
  /** Milliseconds since the epoch: the node still knows the proxy. */
  reportedAt: number;
  overflow: number;
  stats: ProxyStats | undefined;
  /** Milliseconds since the epoch at which `stats` were read; 0 without. */
  measuredAt: number;
  /** Milliseconds since the epoch of the first report of a live filter; 0: never. */
  firstLiveAt: number;
};

/** Counts of a workload's proxies. */
export type ProxyCount = {
  /** Proxies of lost nodes do not count: nobody could observe their calls. */
  total: number;
  /** Proxies whose filter reported recently. */
  live: number;
  /** Milliseconds since the last report of the most silent proxy, as far as this replica knows. */
  silentMs: number;
  /**
   * The same for proxies whose node companion has reported throughout: their filters are certainly
   * silent.
   */
  judgedMs: number;
  /** For how long at least `silentShare` of the proxies has certainly been silent. */
  quorumMs: number;
  /** No node companion reports. */
  isDeaf: boolean;
  /** Proxies on lost nodes. */
  lost: number;
  /** Live proxies whose memory was never read. */
  unmeasured: number;
  /** Milliseconds until nothing waits for their figures any more. */
  measuringMs: number;
};

/** The data of one report; the rest is remembered from earlier reports. */
export type ProxyTold = Omit<ProxyState, 'firstLiveAt'>;

/** The filter reports at least every 30 s: two lost heartbeats may be chance, three are silence. */
export const liveMs = 90_000;
/** A node companion that ended without a farewell is silent for ten reports. */
const forgottenMs = 300_000;
/**
 * A healthy proxy answers its node companion within milliseconds; a proxy that cannot must not
 * delay a scope.
 */
const measureMs = 10_000;

/**
 * The share of silent proxies that withdraws the scope of a workload. If only a few pods are
 * broken, restarting them is cheaper than full configuration for all the others.
 */
export const silentShare = 0.25;

export type ProxyTable = {
  report(told: ProxyTold): void;
  gone(proxy: { namespace: string; pod: string; uid: string }): void;
  of(pod: PodRecord): ProxyState | undefined;
  /** A pod that has never reported is silent from the time it was first counted. */
  count(pods: readonly PodRecord[], now: number): ProxyCount;
  /** Drops proxies without reports for long; returns how many. */
  expire(now: number): number;
  values(): Iterable<ProxyState>;
};

/** Without streams every node counts as reporting all the time. */
export function createProxyTable(
  streams: Pick<NodeStreams, 'since' | 'size'> = { since: () => 0, size: () => 1 },
): ProxyTable {
  const proxies = new Map<string, ProxyState>();
  // Last heartbeat by pod uid. It outlives the node's own record, so that a restarted companion
  // does not reset the silence.
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
      const { namespace, pod, uid, filterVersion, heartbeatAt, reportedAt, overflow } = told;
      const { unbrokenSince = 0 } = told;
      // Field by field: V8 gives each clone of an object by `...` a shape of its own (400 bytes).
      proxies.set(keyOf(told), {
        namespace: sharedText(namespace),
        pod,
        uid,
        filterVersion: sharedText(filterVersion),
        heartbeatAt,
        unbrokenSince,
        reportedAt,
        overflow,
        stats,
        measuredAt,
        firstLiveAt,
      });
      const { at = 0, countedAt = told.reportedAt } = heard.get(told.uid) ?? {};
      if (told.heartbeatAt > at) heard.set(told.uid, { at: told.heartbeatAt, countedAt });
    },
    gone(proxy) {
      if (proxies.get(keyOf(proxy))?.uid === proxy.uid) proxies.delete(keyOf(proxy));
    },
    of,
    count(pods, now) {
      // If no proxy runs yet, or any more, none can report; such a pod must not delay the others.
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
        // Share of all proxies, including lost ones, so that the loss of a node cannot turn a few
        // silent proxies into a quorum.
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
