import { type Aim, type Row, row } from './result.ts';
import { median } from './statistics.ts';

/** The figures of one run; `units` below has their units. */
export type Sample = Partial<Record<'p50' | 'p99' | 'rate' | 'cpu', number>>;

export type Measured = {
  name: string;
  pairs: { off: Sample; on: Sample }[];
  /** Connections in each run that the policy left on the stack. */
  leftAlone: number;
};
type Metric = keyof Sample;

/**
 * The aims; a larger `rate` is better. No figure may be worse than 1.03, except where connections
 * are left on the stack.
 */
function aimOf(name: string, metric: Metric, leftAlone: boolean): Aim | undefined {
  if (leftAlone) return undefined;
  if (metric === 'cpu') return { atMost: 0.85 };
  if (metric === 'rate') {
    if (name.startsWith('stream of 128')) return { atLeast: 1.4 };
    return name.startsWith('stream') ? { atLeast: 1 / 1.03 } : undefined;
  }
  if (metric === 'p99') return undefined;
  if (name === 'round trip of 1 B, one CPU') return { atMost: 0.63 };
  if (name.includes('POST')) return { atMost: 0.65 };
  return { atMost: name.startsWith('sidecars') ? 0.85 : 1.03 };
}

const units: Record<Metric, string> = { p50: 'us', p99: 'us', rate: '1/s', cpu: 'us/request' };

/**
 * For each figure the medians of both sides, and the median, least and most of the pairwise ratios.
 */
export function bypassRows(measured: Measured[]): Row[] {
  return measured.flatMap(({ name, pairs, leftAlone }) => [
    ...(leftAlone > 0
      ? [
          row(name, 'connections that the policy left alone, each run', leftAlone, '1', {
            atLeast: 1,
          }),
        ]
      : []),
    ...(Object.keys(units) as Metric[]).flatMap((metric) => {
      const of = (side: 'off' | 'on') => pairs.map((pair) => pair[side][metric] ?? Number.NaN);
      const [off, on] = [of('off'), of('on')];
      if (off.some(Number.isNaN) || on.some(Number.isNaN)) return [];
      const ratios = on.map((value, i) => value / (off[i] ?? Number.NaN));
      const ratio = (kind: string, value: number, aim?: Aim) =>
        row(name, `${metric}, on / off${kind}`, value, 'ratio', aim);
      return [
        row(name, `${metric}, off`, median(off), units[metric]),
        row(name, `${metric}, on`, median(on), units[metric]),
        ratio('', median(ratios), aimOf(name, metric, leftAlone >= 1)),
        ratio(', least', Math.min(...ratios)),
        ratio(', most', Math.max(...ratios)),
      ];
    }),
  ]);
}
