import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds: the longest first pause, and the longest of all. Each failure more doubles it. */
export type PauseRange = { from: number; to: number };

export type BackoffBounds = PauseRange & {
  /** What lasted longer than this was well, however little came of it. */
  healthyMs: number;
};

export type Backoff = {
  /** Milliseconds to wait after an attempt that lasted `stoodMs`. */
  pauseAfter(stoodMs: number): number;
  /** The other side has shown that it is well: what fails next is the first to fail. */
  reset(): void;
};

/**
 * Milliseconds to wait after one more failure than `failures`; half of it is chance, because
 * attempts that many make at one time must not stay in step.
 */
export function pauseOf(failures: number, { from, to }: PauseRange): number {
  const limit = Math.min(from * 2 ** failures, to);
  return limit / 2 + (Math.random() * limit) / 2;
}

/** The pauses of one that tries again and again. */
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

/** Milliseconds of rest; over at once where the signal is or comes, which is no error. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
