import type { Edge, Source } from '../../core/scope/edges.ts';
import { expire, guardWindowMs, type Verdict } from '../../core/scope/expiry.ts';
import { entryOf } from '../../core/scope/hosts.ts';
import { liveMs } from '../../core/scope/proxies.ts';
import type { Workload } from '../../core/scope/workload.ts';
import type { ScopeRecord } from '../../core/scope/workload-scope.ts';
import type { ControllerMetrics } from '../metrics.ts';
import type { State } from '../state/state.ts';
import type { Life } from './inputs.ts';

/** Removes expired destinations from the memory of the leader. */
export type Forgetting = {
  /**
   * The destinations that have expired, by how long reports were complete; nothing is removed yet.
   */
  judge(workload: Workload, scope: ScopeRecord, edges: readonly Edge[]): Verdict;
  /**
   * The writes without them are done: remove the destinations that the verdict calls expired and
   * that were not used since.
   */
  letGo(workload: Workload, verdict: Verdict): void;
  /** Nothing has changed since the last judgement: the reports are as complete as they were. */
  keep(key: string): void;
  /** The workload is gone, or no longer managed. */
  drop(key: string): void;
};

/** The reports of a workload that this replica saw while it led. */
type Hearing = {
  heardSince: number | undefined;
  lookedAt: number;
  /** When the filter or the companion of a proxy last dropped a destination that may be in use. */
  droppedAt: number | undefined;
  /** How many it had dropped, by the uid of the pod. */
  dropped: ReadonlyMap<string, number>;
  expiredAt: number[];
  verdict: Verdict;
};

/**
 * Hosts leave in batches, because each change of a Sidecar makes istiod process every proxy again.
 */
const batchMsMax = 600_000;
const batchShareOfTtl = 0.1;

/**
 * The leader reconciles everything every ten seconds; a longer pause means that it did not lead.
 */
const pauseMsMax = 60_000;

const unheard: Omit<Hearing, 'lookedAt'> = {
  heardSince: undefined,
  droppedAt: undefined,
  dropped: new Map(),
  expiredAt: [],
  verdict: { expired: [], kept: 0 },
};

export function createForgetting(options: {
  state: State;
  metrics: ControllerMetrics;
  life: Life;
  now: () => number;
}): Forgetting {
  const { state, metrics, life, now } = options;
  const hearings = new Map<string, Hearing>();

  function hearingOf(workload: Workload): Hearing {
    const key = `${workload.namespace}/${workload.name}`;
    const at = now();
    const known = hearings.get(key);
    const isFresh = known !== undefined && at - known.lookedAt <= pauseMsMax;
    const hearing = isFresh ? known : unheard;
    const { total, silentMs, lost } = state.proxies.count(workload.pods, at);
    // Of each pod, because a pod that ends must not hide what another one has dropped.
    const dropped = new Map(
      workload.pods.map((pod) => [pod.uid, state.proxies.of(pod)?.overflow ?? 0] as const),
    );
    const isDropping = [...dropped].some(([uid, count]) => count > (hearing.dropped.get(uid) ?? 0));
    // A lost node may only be cut off: its companion reports the use by its pods when it returns.
    const isHeard = total > 0 && silentMs <= liveMs && lost === 0;
    const breaks = workload.pods.map((pod) => state.proxies.of(pod)?.unbrokenSince ?? 0);
    // A lost entry of an access log may be the use of any destination.
    const since = isDropping ? at : Math.max(hearing.heardSince ?? at, ...breaks);
    const fresh = {
      heardSince: isHeard ? since : undefined,
      lookedAt: at,
      droppedAt: isDropping ? at : hearing.droppedAt,
      dropped,
      expiredAt: hearing.expiredAt.filter((time) => at - time < guardWindowMs),
      verdict: hearing.verdict,
    };
    hearings.set(key, fresh);
    return fresh;
  }

  return {
    drop: (key) => void hearings.delete(key),
    keep(key) {
      const hearing = hearings.get(key);
      if (hearing && now() - hearing.lookedAt <= pauseMsMax) hearing.lookedAt = now();
    },
    judge(workload, scope, edges) {
      const hearing = hearingOf(workload);
      const pins = new Set(scope.pins);
      const ttlMs = scope.ttlMs ?? life.ttlMs;
      const pauseMs = Math.min(batchMsMax, ttlMs * batchShareOfTtl);
      const [last] = hearing.expiredAt.slice(-1);
      if (last !== undefined && now() - last < pauseMs) return hearing.verdict;
      return expire({
        edges,
        isExempt: (edge) => pins.has(entryOf(edge)),
        now: now(),
        ttlMs,
        heardSince: hearing.heardSince,
        isDropping: hearing.droppedAt !== undefined && hearing.droppedAt === hearing.heardSince,
        expiredLately: hearing.expiredAt.length,
        guard: life.guard,
      });
    },
    letGo(workload, verdict) {
      const { namespace, name, owners } = workload;
      if (verdict.expired.length === 0) return;
      for (const edge of verdict.expired)
        for (const owner of owners) forgetUnused(state, { namespace, owner }, edge);
      metrics.expired.inc(verdict.expired.length);
      const hearing = hearings.get(`${namespace}/${name}`);
      if (!hearing) return;
      hearing.expiredAt.push(...verdict.expired.map(() => now()));
      // Expired hosts are reported once; the reason for kept hosts stands until the next batch.
      hearing.verdict = { ...verdict, expired: [] };
    },
  };
}

function forgetUnused({ edges }: State, source: Source, judged: Edge): void {
  const known = edges.edgesFrom(source).find((edge) => entryOf(edge) === entryOf(judged));
  // The destination may have been used while the writes were in flight.
  if (known && known.lastSeen <= judged.lastSeen) edges.forget(source, judged);
}
