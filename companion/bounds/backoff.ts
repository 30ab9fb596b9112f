import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Milliseconds: the longest first pause, and the longest pause of all. Each further failure doubles
 * the pause.
 */
export type PauseRange = { from: number; to: number };

export type BackoffBounds = PauseRange & {
  /** An attempt that lasted longer than this counts as a success, even if it then failed. */
  healthyMs: number;
};

export type Backoff = {
  /** Milliseconds to wait after an attempt that lasted `stoodMs`. */
  pauseAfter(stoodMs: number): number;
  /** The peer has been healthy, so the next failure counts as the first one. */
  reset(): void;
};

/**
 * Milliseconds to wait after `failures` earlier failures. Half of the pause is random, so that
 * clients that fail together do not retry together.
 */
export function pauseOf(failures: number, { from, to }: PauseRange): number {
  const limit = Math.min(from * 2 ** failures, to);
  return limit / 2 + (Math.random() * limit) / 2;
}

/** Exponential backoff with jitter. An attempt that lasted `healthyMs` resets it. */
export function createBackoff({ healthyMs, ...range }: BackoffBounds): Backoff {
  let failures = 0;
  return {
    pauseAfter(stoodMs) {
      if (stoodMs > healthyMs) failures = 0;
      return pauseOf(failures++, range);
    },
    reset: () => {
      failures = 0;
    },
  };
}

/** Resolves after `ms` milliseconds, or as soon as the signal aborts. An abort is not an error. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
