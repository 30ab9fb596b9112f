import type { ProxyCount } from './proxies.ts';
import type { ScopeStatus } from './workload-scope.ts';

/**
 * Limits how fast silence may withdraw scopes. A withdrawn scope gives each proxy of its workload
 * full configuration: istiod has to push it, and the proxy has to hold it. Without a limit, the
 * loss of one node could become an outage of the mesh.
 */
export type WithdrawalLimit = { workloadsPerMinute: number; bytesPerMinute: number };

export type WithdrawalBudget = {
  /**
   * Takes the cost of a workload's withdrawal; false: it has to wait. A repeated request for the
   * same key within a minute costs nothing, because a write may fail and be retried.
   */
  admit(key: string, gainBytes: number): boolean;
};

/** Why silent proxies do not withdraw a scope, or not yet. */
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

/**
 * Bytes that the proxies of a workload gain if its scope is withdrawn, as measured with both
 * configurations.
 */
export function gainBytesOf(status: ScopeStatus | undefined, proxies: number): number {
  const { beforeBytes, afterBytes } = status?.memory ?? {};
  const isMeasured = beforeBytes !== undefined && afterBytes !== undefined;
  return proxies * (isMeasured ? Math.max(0, beforeBytes - afterBytes) : unmeasuredGainBytes);
}

/**
 * Two buckets with one minute's worth each. A workload that gains more than a minute's worth of
 * bytes is withdrawn when that bucket is full, and the next one waits until the debt is paid. So in
 * any span of m minutes at most (m + 1) minutes' worth is withdrawn, plus one workload.
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

/** Why the silence of proxies withdraws nothing; undefined if no proxy is silent for that long. */
export function pendingOf(
  { silentMs, judgedMs, quorumMs, total, isDeaf }: ProxyCount,
  silenceMs: number,
): Pending | undefined {
  if (silentMs <= silenceMs) return undefined;
  const seconds = Math.floor(silentMs / 1000);
  if (quorumMs > silenceMs) {
    const message =
      'The quorum of silent proxies is reached, but so is the limit of withdrawals in the mesh.';
    return { reason: 'Budget', message };
  }
  if (judgedMs > silenceMs) {
    const what = `Fewer than a quarter of ${total} proxies are silent, one of them for ${seconds} s`;
    return { reason: 'BelowQuorum', message: `${what}. Restart pods that lack the filter.` };
  }
  if (isDeaf) {
    const message = `A proxy has been silent for ${seconds} s, but no node companion reaches this controller.`;
    return { reason: 'Deaf', message };
  }
  const what = `A proxy and the companion of its node have been silent for ${seconds} s`;
  return { reason: 'NodeUnheard', message: `${what}. Check that companion.` };
}
