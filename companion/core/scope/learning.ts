import type { ProxyCount } from './proxies.ts';

/** How long a workload has been watched; milliseconds since the epoch. */
export type Watched = {
  /** Since when every proxy reports; undefined while that never was. */
  learningSince: number | undefined;
  /** Since when one is silent for certain; undefined while none is. */
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
 * The learning window counts from the first moment in which every proxy reported. A new pod, a
 * restart or an outage does not start it anew, since what was learned stays known and filters tell
 * afterwards what they saw meanwhile; a gap longer than the window itself does.
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

/** Milliseconds until the window ends; 0 or less when it has. */
export function learningMsOf({ learningSince }: Watched, windowMs: number, now: number): number {
  return learningSince === undefined ? windowMs : learningSince + windowMs - now;
}
