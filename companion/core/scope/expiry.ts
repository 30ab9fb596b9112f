import type { Edge } from './edges.ts';

/**
 * Decides when an unused destination leaves the scope. Late expiry costs some memory and early
 * expiry costs a first call, so any doubt keeps the destination.
 */
export type ExpiryInput = {
  /** Every destination that the workload used. */
  edges: readonly Edge[];
  /** Does not expire: pinned, or used in ways that are not counted. */
  isExempt(edge: Edge): boolean;
  /** Milliseconds since the epoch. */
  now: number;
  /** How long a destination stays unused. */
  ttlMs: number;
  /** Since when every proxy has reported without a gap; undefined while one does not. */
  heardSince: number | undefined;
  /** `heardSince` is when a proxy last dropped a destination that may be in use. */
  isDropping?: boolean;
  /** Destinations that have expired within `guardWindowMs`. */
  expiredLately: number;
  guard: ShrinkGuard;
};

/** How much of a scope may expire within an hour, however long it was unused. */
export type ShrinkGuard = {
  /** Share of the workload's destinations, 0 to 1; at least one may expire. */
  share: number;
  count: number;
};

export type Verdict = {
  /** Destinations that were unused for longest come first. */
  expired: Edge[];
  /** Past their ttl, but kept for `reason`. */
  kept: number;
  reason?: 'ReportsMissing' | 'Settling' | 'Overflow' | 'ShrinkGuard';
};

export const guardWindowMs = 3_600_000;

/**
 * After a start, a change of leader or a gap in the reports, nothing expires for this long (or for
 * the ttl, if shorter), because use in the meantime may not have been reported yet.
 */
export const settleMsMax = 3_600_000;

export function expire(input: ExpiryInput): Verdict {
  const { edges, isExempt, now, ttlMs, heardSince, isDropping, expiredLately, guard } = input;
  const overdue = edges.filter((edge) => now - edge.lastSeen > ttlMs && !isExempt(edge));
  const keep = (reason: NonNullable<Verdict['reason']>): Verdict =>
    overdue.length > 0 ? { expired: [], kept: overdue.length, reason } : { expired: [], kept: 0 };
  if (heardSince === undefined) return keep('ReportsMissing');
  if (now - heardSince < Math.min(ttlMs, settleMsMax)) {
    return keep(isDropping ? 'Overflow' : 'Settling');
  }
  const share = Math.floor(guard.share * (edges.length + expiredLately));
  const allowance = Math.max(0, Math.min(guard.count, Math.max(1, share)) - expiredLately);
  const expired = overdue.sort((a, b) => a.lastSeen - b.lastSeen).slice(0, allowance);
  const kept = overdue.length - expired.length;
  return { expired, kept, ...(kept > 0 && { reason: 'ShrinkGuard' }) };
}

const unitMs: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000 };

/**
 * `72h`, `1h30m`, `90s`: the form that the CRD of WorkloadScope accepts; undefined for any other
 * form.
 */
export function durationMs(text: unknown): number | undefined {
  if (typeof text !== 'string' || !/^(\d{1,9}[smh])+$/.test(text)) return undefined;
  return [...text.matchAll(/(\d+)([smh])/g)].reduce(
    (sum, [, number, unit = 's']) => sum + Number(number) * (unitMs[unit] ?? 0),
    0,
  );
}
