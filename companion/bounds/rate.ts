/** A token bucket for each key: `perSecond` in the long run, `burst` at once. */
export type Rate = { perSecond: number; burst: number };

export type RateLimit = {
  /** False if the bucket is empty; `cost` above what is left is paid by those who come later. */
  take(key: string, cost?: number): boolean;
  forget(key: string): void;
};

/**
 * Keys that are remembered; the oldest is evicted first. The bound exceeds the pods of a node and
 * the nodes of a cluster. An attacker with more addresses than this could not be stopped by a
 * bucket for each address anyway.
 */
const keysMax = 8_192;

/** `now` in milliseconds of a clock that never goes back. */
export function createRateLimit({ perSecond, burst }: Rate, now: () => number): RateLimit {
  const buckets = new Map<string, { tokens: number; at: number }>();
  return {
    take(key, cost = 1) {
      const at = now();
      const bucket = buckets.get(key) ?? { tokens: burst, at };
      bucket.tokens = Math.min(burst, bucket.tokens + ((at - bucket.at) * perSecond) / 1000);
      bucket.at = at;
      buckets.set(key, bucket);
      const [oldest] = buckets.keys();
      if (buckets.size > keysMax && oldest !== undefined) buckets.delete(oldest);
      if (bucket.tokens < 1) return false;
      bucket.tokens -= cost;
      return true;
    },
    forget: (key) => {
      buckets.delete(key);
    },
  };
}
