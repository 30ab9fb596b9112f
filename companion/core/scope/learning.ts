import type { ProxyCount } from './proxies.ts';

/** How long a workload has been observed; milliseconds since the epoch. */
export type Watched = {
  /** Since when every proxy reports; undefined if that has never been the case. */
  learningSince: number | undefined;
  /** Since when a proxy is certainly silent; undefined while none is. */
  silentSince: number | undefined;
};

export type WatchedInput = {
  before: Watched;
  proxies: Pick<ProxyCount, 'total' | 'live' | 'silentMs'>;
  silenceMs: number;
  learningWindowMs: number;
  now: number;
};

/**
 * The learning window starts when every proxy reports for the first time. A new pod, a restart or
 * an outage does not reset the window, because learned hosts stay known and filters report later
 * what they saw meanwhile. A gap longer than the window does reset it.
 */
export function watchedOf(input: WatchedInput): Watched {
  const { before, proxies, silenceMs, learningWindowMs, now } = input;
  const { total, live, silentMs } = proxies;
  if (total > 0 && live === total) {
    const gapMs = before.silentSince === undefined ? 0 : now - before.silentSince;
    const isLost = before.learningSince === undefined || gapMs > learningWindowMs;
    return { learningSince: isLost ? now : before.learningSince, silentSince: undefined };
  }
  if (total === 0 || silentMs <= silenceMs) return before;
  return { ...before, silentSince: before.silentSince ?? now - silentMs };
}

/** Milliseconds until the window ends; 0 or less after its end. */
export function learningMsOf({ learningSince }: Watched, windowMs: number, now: number): number {
  return learningSince === undefined ? windowMs : learningSince + windowMs - now;
}
