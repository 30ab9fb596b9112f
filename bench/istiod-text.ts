import { byLabel, quantileOf, readMetrics, totalOf } from '../command/mesh/istiod.ts';

/** What a recording of `/metrics` shows. */

/** The sum over all series of a metric; 0 if there is none. */
export const total = (text: string, name: string) => totalOf(readMetrics(text), name);

/** The largest bound of a histogram that an observation lies above. */
export function longest(text: string, name: string): number {
  const buckets = byLabel(readMetrics(text), `${name}_bucket`, 'le');
  const all = total(text, `${name}_count`);
  const bounds = buckets.filter(([le, count]) => le !== '+Inf' && count < all);
  return Math.max(0, ...bounds.map(([le]) => Number(le)));
}

export const p99 = (text: string, name: string) => quantileOf(readMetrics(text), name, 0.99) ?? 0;
