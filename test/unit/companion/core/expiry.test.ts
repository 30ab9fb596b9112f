import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Edge } from '../../../../companion/core/scope/edges.ts';
import {
  durationMs,
  type ExpiryInput,
  expire,
  settleMsMax,
} from '../../../../companion/core/scope/expiry.ts';

const hour = 3_600_000;
const now = 1_000 * hour;

/** Destinations whose last use was so many hours ago. */
function unused(...hours: number[]): Edge[] {
  return hours.map((age, index) => {
    const lastSeen = now - age * hour;
    return { namespace: 'shop', host: `h${index}`, firstSeen: 0, lastSeen };
  });
}

const usual: ExpiryInput = {
  edges: unused(1, 71, 72, 73, 100, 2, 3, 4),
  isExempt: () => false,
  now,
  ttlMs: 72 * hour,
  heardSince: 0,
  expiredLately: 0,
  guard: { share: 0.25, count: 20 },
};
const hostsOf = (input: Partial<ExpiryInput>) =>
  expire({ ...usual, ...input }).expired.map(({ host }) => host);

describe('an unused destination', () => {
  test('expires after its TTL, the longest unused first', () => {
    expect(expire(usual)).toEqual({ expired: [usual.edges[4], usual.edges[3]], kept: 0 });
    expect(hostsOf({ ttlMs: 100 * hour })).toEqual([]);
  });

  test.each<[string, Partial<ExpiryInput>, string]>([
    ['while a proxy is not heard', { heardSince: undefined }, 'ReportsMissing'],
    ['right after a start', { heardSince: now - settleMsMax + 1 }, 'Settling'],
    [
      'after a proxy dropped destinations',
      { heardSince: now - settleMsMax + 1, isDropping: true },
      'Overflow',
    ],
    ['when enough went within the hour', { expiredLately: 2 }, 'ShrinkGuard'],
  ])('stays %s', (_what, part, reason) => {
    expect(expire({ ...usual, ...part })).toEqual({ expired: [], kept: 2, reason });
  });

  test('waits no longer than its own TTL after a start', () => {
    const edges = unused(1);
    const short = { edges, ttlMs: 60_000, heardSince: now - 60_000 };
    expect(hostsOf(short)).toEqual(['h0']);
    expect(hostsOf({ ...short, heardSince: now - 59_999 })).toEqual([]);
  });

  test('stays when it is pinned', () => {
    expect(hostsOf({ isExempt: ({ host }) => host === 'h4' })).toEqual(['h3']);
  });

  test('expires in steps of a share and of a number', () => {
    const edges = unused(...Array.from({ length: 100 }, () => 80));
    const atOnce = (part: Partial<ExpiryInput>) => hostsOf({ edges, ...part }).length;
    expect(atOnce({})).toBe(20);
    expect(atOnce({ guard: { share: 0.1, count: 20 } })).toBe(10);
    expect(atOnce({ guard: { share: 0.1, count: 20 }, expiredLately: 7 })).toBe(3);
    expect(hostsOf({ edges: unused(80, 80), guard: { share: 0.1, count: 20 } })).toEqual(['h0']);
  });
});

const inputs: fc.Arbitrary<ExpiryInput> = fc.record({
  edges: fc.array(fc.nat(200), { maxLength: 50 }).map((ages) => unused(...ages)),
  isExempt: fc.func(fc.boolean()),
  now: fc.constant(now),
  ttlMs: fc.integer({ min: 1, max: 150 }).map((hours) => hours * hour),
  heardSince: fc.option(fc.integer({ min: 0, max: now }), { nil: undefined }),
  expiredLately: fc.nat(30),
  guard: fc.record({ share: fc.double({ min: 0.01, max: 1, noNaN: true }), count: fc.nat(30) }),
});

test('a destination never expires if it was used within its TTL, is exempt, or cannot be known to be unused', () => {
  fc.assert(
    fc.property(inputs, (input) => {
      for (const edge of expire(input).expired) {
        expect(input.now - edge.lastSeen).toBeGreaterThan(input.ttlMs);
        expect(input.isExempt(edge)).toBe(false);
        expect(input.heardSince).toBeDefined();
      }
    }),
  );
});

test('hour by hour no more than the share or the number expires, and everything expires in the end', () => {
  fc.assert(
    fc.property(inputs, (input) => {
      let edges = [...input.edges];
      let rounds = 0;
      const settled = { ...input, isExempt: () => false, heardSince: 0, now: now + 200 * hour };
      const guard = { ...input.guard, count: Math.max(1, input.guard.count) };
      while (edges.length > 0) {
        const { expired } = expire({ ...settled, guard, edges, expiredLately: 0 });
        const most = Math.max(1, Math.floor(guard.share * edges.length));
        expect(expired.length).toBeLessThanOrEqual(Math.min(most, guard.count));
        edges = edges.filter((edge) => !expired.includes(edge));
        rounds += 1;
        if (rounds > input.edges.length) break;
      }
      expect(edges).toEqual([]);
    }),
  );
});

test.each([
  ['72h', 72 * hour],
  ['1h30m', 1.5 * hour],
  ['90s', 90_000],
  ['0s', 0],
  ['', undefined],
  ['7d', undefined],
  ['-1h', undefined],
  ['1h ', undefined],
  [72, undefined],
])('the duration %j is %s ms', (text, ms) => {
  expect(durationMs(text)).toBe(ms);
});
