/** A Prometheus histogram as it stands: cumulative counts by upper bound, in order. */
export type Histogram = { buckets: { bound: number; count: number }[]; count: number };

/** Reads one histogram, summed over its labels, from the text that a process serves at /metrics. */
export function readHistogram(text: string, name: string): Histogram {
  const counts = new Map<number, number>();
  const sample = new RegExp(`^${name}_bucket\\{(?:[^}]*,)?le="([^"]+)"[^}]*\\} (\\S+)`, 'gm');
  for (const [, le = '', value = ''] of text.matchAll(sample)) {
    const bound = le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le);
    counts.set(bound, (counts.get(bound) ?? 0) + Number(value));
  }
  const buckets = [...counts].map(([bound, count]) => ({ bound, count }));
  buckets.sort((a, b) => a.bound - b.bound);
  return { buckets, count: buckets.at(-1)?.count ?? 0 };
}

/**
 * The upper bound of the bucket that holds the quantile of the samples after `before`. NaN if there
 * are no samples.
 */
export function quantileOf(after: Histogram, before: Histogram, quantile: number): number {
  const rank = (after.count - before.count) * quantile;
  if (rank <= 0) return Number.NaN;
  const earlier = new Map(before.buckets.map(({ bound, count }) => [bound, count]));
  const found = after.buckets.find(({ bound, count }) => count - (earlier.get(bound) ?? 0) >= rank);
  return found?.bound ?? Number.NaN;
}
