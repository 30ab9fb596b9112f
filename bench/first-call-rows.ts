import { type Histogram, quantileOf } from './histogram.ts';
import { type Aim, type Row, row } from './result.ts';

/** The rows of the benchmark of first calls. Times are in milliseconds. */

export const strategies = ['gateway', 'direct', 'hold', 'passthrough'] as const;
export type Strategy = (typeof strategies)[number];
export type Times = { p50: number; p99: number };

/** The most that a first call may take more than a cold one with full configuration. */
const addedMax: Record<string, { p50?: number; p99?: number }> = {
  gateway: { p50: 5 },
  direct: { p50: 2, p99: 6 },
  hold: { p50: 150, p99: 250 },
};
const questionMax = { p50: 1, p99: 3 };

const aimOf = (atMost: number | undefined): Aim | undefined =>
  atMost === undefined ? undefined : { atMost };

/** First calls and, between them, the cold calls of a sidecar with full configuration. */
export function added(subject: string, pair: { first: Times; cold: Times }): Row[] {
  const { first, cold } = pair;
  const aims = addedMax[subject] ?? {};
  return [
    row(subject, 'first call, p50', first.p50, 'ms'),
    row(subject, 'first call, p99', first.p99, 'ms'),
    row(subject, 'cold call, full configuration, p50', cold.p50, 'ms'),
    row(subject, 'cold call, full configuration, p99', cold.p99, 'ms'),
    row(subject, 'added, p50', first.p50 - cold.p50, 'ms', aimOf(aims.p50)),
    row(subject, 'added, p99', first.p99 - cold.p99, 'ms', aimOf(aims.p99)),
  ];
}

/** Questions between two readings; each value is at most a half below the one that is given. */
export function questionRows(before: Histogram, after: Histogram): { rows: Row[]; p50: number } {
  const quantile = (share: number) => 1000 * quantileOf(after, before, share);
  const subject = 'question, as filters see it';
  return {
    p50: quantile(0.5),
    rows: [
      row(subject, 'count', after.count - before.count, 'questions'),
      row(subject, 'p50 at most', quantile(0.5), 'ms', { atMost: questionMax.p50 }),
      row(subject, 'p99 at most', quantile(0.99), 'ms', { atMost: questionMax.p99 }),
    ],
  };
}

/** Where the median time of a first call goes. */
export function stepRows(
  pairs: Record<Strategy, { first: Times; cold: Times }>,
  warm: Times,
  question: number,
): Row[] {
  const { gateway, direct } = pairs;
  const step = (name: string, ms: number) => row('steps of a first call, p50', name, ms, 'ms');
  return [
    step('a warm call', warm.p50),
    step('connection and handshake with the destination', direct.cold.p50 - warm.p50),
    step('question to the node companion, at most', question),
    step('the rest of a direct call', direct.first.p50 - direct.cold.p50 - question),
    step(
      'the gateway',
      gateway.first.p50 - gateway.cold.p50 - (direct.first.p50 - direct.cold.p50),
    ),
  ];
}
