export type BackoffBounds = {
  /** Milliseconds: the longest first pause, and the longest of all. Each more doubles it. */
  from: number;
  to: number;
  /** What lasted longer than this was well, however little came of it. */
  healthyMs: number;
};

export type Backoff = {
  /** Milliseconds to wait after an attempt that lasted `stoodMs`; half of it is chance. */
  pauseAfter(stoodMs: number): number;
  /** The other side has shown that it is well: what fails next is the first to fail. */
  reset(): void;
};

/** Pauses between attempts that many processes make at one time, which must not stay in step. */
export function createBackoff({ from, to, healthyMs }: BackoffBounds): Backoff {
  let failures = 0;
  return {
    pauseAfter(stoodMs) {
      if (stoodMs > healthyMs) failures = 0;
      const limit = Math.min(from * 2 ** failures, to);
      if (limit < to) failures += 1;
      return limit / 2 + (Math.random() * limit) / 2;
    },
    reset: () => {
      failures = 0;
    },
  };
}
