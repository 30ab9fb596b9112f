import type { ProxyCount } from './proxies.ts';
import type { ScopeStatus } from './workload-scope.ts';

/**
 * How fast silence may take scopes away. A withdrawn scope gives each proxy of its workload the
 * configuration of the whole mesh: istiod has to push it, and the proxy has to hold it. Too fast,
 * and what was lost on one node becomes an outage of all.
 */
export type WithdrawalLimit = { workloadsPerMinute: number; bytesPerMinute: number };

export type WithdrawalBudget = {
  /**
   * Takes what the withdrawal of a workload costs; false: it has to wait. Asked again for the same
   * key within a minute it costs nothing, since a write may fail and be tried again.
   */
  admit(key: string, gainBytes: number): boolean;
};

/** Why silent proxies do not take a scope away, or not yet. */
export type Pending = {
  reason: 'Budget' | 'BelowQuorum' | 'NodeUnheard' | 'Deaf';
  message: string;
};

const minuteMs = 60_000;

/**
 * What a proxy is taken to gain where its memory was never read with both configurations: a third
 * of what was measured in a mesh of 5,000 services (bench/results/memory.json).
 */
export const unmeasuredGainBytes = 256e6;

/** Bytes that the proxies of a workload gain when its scope goes: as measured before and after. */
export function gainBytesOf(status: ScopeStatus | undefined, proxies: number): number {
  const { beforeBytes, afterBytes } = status?.memory ?? {};
  const isMeasured = beforeBytes !== undefined && afterBytes !== undefined;
  return proxies * (isMeasured ? Math.max(0, beforeBytes - afterBytes) : unmeasuredGainBytes);
}

/**
 * Two buckets that hold one minute's worth each. A workload that gains more than a minute's worth
 * of bytes goes when that bucket is full, and the next one waits until the debt is paid. So in any
 * span of m minutes at most (m + 1) minutes' worth goes, and one workload.
 */
export function createWithdrawalBudget(
  { workloadsPerMinute, bytesPerMinute }: WithdrawalLimit,
  now: () => number,
): WithdrawalBudget {
  let workloads = workloadsPerMinute;
  let bytes = bytesPerMinute;
  let filledAt = now();
  const admitted = new Map<string, number>();

  function refill(at: number): void {
    const minutes = Math.max(0, at - filledAt) / minuteMs;
    workloads = Math.min(workloadsPerMinute, workloads + minutes * workloadsPerMinute);
    bytes = Math.min(bytesPerMinute, bytes + minutes * bytesPerMinute);
    filledAt = at;
    for (const [key, since] of admitted) if (at - since > minuteMs) admitted.delete(key);
  }

  return {
    admit(key, gainBytes) {
      const at = now();
      refill(at);
      if (admitted.has(key)) return true;
      if (workloads < 1 || bytes < Math.min(gainBytes, bytesPerMinute)) return false;
      workloads -= 1;
      bytes -= gainBytes;
      admitted.set(key, at);
      return true;
    },
  };
}

/** Why the silence of proxies takes nothing away; undefined where none is silent for that long. */
export function pendingOf(
  { silentMs, judgedMs, quorumMs, total, isDeaf }: ProxyCount,
  silenceMs: number,
): Pending | undefined {
  if (silentMs <= silenceMs) return undefined;
  const seconds = Math.floor(silentMs / 1000);
  if (quorumMs > silenceMs) {
    const message = 'Enough proxies are silent; the limit of withdrawals over the mesh is reached.';
    return { reason: 'Budget', message };
  }
  if (judgedMs > silenceMs) {
    const what = `Fewer than a quarter of ${total} proxies are silent, one for ${seconds} s`;
    return { reason: 'BelowQuorum', message: `${what}. Restart pods that lack the filter.` };
  }
  if (isDeaf) {
    const message = `A proxy was not heard for ${seconds} s, but this controller hears no node at all.`;
    return { reason: 'Deaf', message };
  }
  const what = `A proxy was not heard for ${seconds} s, nor was its node for as long`;
  return { reason: 'NodeUnheard', message: `${what}: look at the node companion there.` };
}
