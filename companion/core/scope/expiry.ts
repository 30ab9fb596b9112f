import type { Edge } from './edges.ts';

/**
 * When a destination that was used once leaves the scope again. Forgetting too late costs some
 * memory, forgetting too early costs a first call, so every doubt keeps it.
 */
export type ExpiryInput = {
  /** Everything that the workload was seen to use. */
  edges: readonly Edge[];
  /** Does not age: pinned, or used in ways that nobody counts. */
  isExempt(edge: Edge): boolean;
  /** Milliseconds since the epoch. */
  now: number;
  /** How long a destination stays unused. */
  ttlMs: number;
  /** Since when every proxy was heard without a gap; undefined while one is not. */
  heardSince: number | undefined;
  /** Destinations that have expired within `guardWindowMs`. */
  expiredLately: number;
  guard: ShrinkGuard;
};

/** How much of a scope may expire within an hour, however long it was unused. */
export type ShrinkGuard = {
  /** Of the destinations of the workload, 0 to 1; one may always go. */
  share: number;
  count: number;
};

export type Verdict = {
  /** Those that were unused for longest come first. */
  expired: Edge[];
  /** Past their time, and kept for `reason`. */
  kept: number;
  reason?: 'ReportsMissing' | 'Settling' | 'ShrinkGuard';
};

export const guardWindowMs = 3_600_000;

/**
 * After a start, a change of leader or a gap in the reports, nothing expires for this long (or for
 * the ttl, if that is shorter): what was used meanwhile has yet to be told of.
 */
export const settleMsMax = 3_600_000;

export function expire(input: ExpiryInput): Verdict {
  const { edges, isExempt, now, ttlMs, heardSince, expiredLately, guard } = input;
  const overdue = edges.filter((edge) => now - edge.lastSeen > ttlMs && !isExempt(edge));
  const keep = (reason: NonNullable<Verdict['reason']>): Verdict =>
    overdue.length > 0 ? { expired: [], kept: overdue.length, reason } : { expired: [], kept: 0 };
  if (heardSince === undefined) return keep('ReportsMissing');
  if (now - heardSince < Math.min(ttlMs, settleMsMax)) return keep('Settling');
  const share = Math.floor(guard.share * (edges.length + expiredLately));
  const allowance = Math.max(0, Math.min(guard.count, Math.max(1, share)) - expiredLately);
  const expired = overdue.sort((a, b) => a.lastSeen - b.lastSeen).slice(0, allowance);
  const kept = overdue.length - expired.length;
  return { expired, kept, ...(kept > 0 && { reason: 'ShrinkGuard' }) };
}

const unitMs: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000 };

/**
 * `72h`, `1h30m`, `90s`: what the definition of WorkloadScope takes; undefined for anything else.
 */
export function durationMs(text: unknown): number | undefined {
  if (typeof text !== 'string' || !/^(\d{1,9}[smh])+$/.test(text)) return undefined;
  return [...text.matchAll(/(\d+)([smh])/g)].reduce(
    (sum, [, number, unit = 's']) => sum + Number(number) * (unitMs[unit] ?? 0),
    0,
  );
}
