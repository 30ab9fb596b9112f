import { h, s } from './dom.ts';
import { timeText } from './text.ts';

export type Chart = {
  /** Its accessible name; the texts below it have the numbers. */
  name: string;
  text(value: number): string;
  binMs: number;
  /** The time of the first value, in milliseconds since the epoch. */
  from: number;
  /** The first bin may reach back before the history begins. */
  beginsAt: number;
  /** Where the values come from, if not from the history. */
  source?: string | undefined;
  lines: readonly { title: string; values: readonly number[]; isDashed?: boolean }[];
};

const [width, height] = [560, 150];

/** Lines over time; bins without a measurement are left out. */
export function lineChart({
  name,
  text,
  binMs,
  from,
  beginsAt,
  source,
  lines,
}: Chart): HTMLElement {
  const all = lines.map(({ values }) =>
    values.flatMap((value, at) => (value > 0 ? [{ value, at }] : [])),
  );
  const points = all.flat();
  if (points.length === 0) return h('p', { class: 'quiet' }, 'Not measured yet.');
  const most = Math.max(...points.map(({ value }) => value));
  const first = Math.min(...points.map(({ at }) => at));
  const last = Math.max(...points.map(({ at }) => at));
  const x = (at: number) => ((at - first) / Math.max(1, last - first)) * width;
  const y = (value: number) => height - (value / most) * (height - 16);
  const paths = lines.map(({ isDashed }, n) => {
    // A line of one measurement is drawn over the whole width.
    const measured = all[n] ?? [];
    const [one] = measured;
    const shown = measured.length === 1 && one ? [one, { ...one, at: first + 1 }] : measured;
    const at = (each: { at: number; value: number }) =>
      `${(measured.length === 1 && each !== one ? width : x(each.at)).toFixed(1)} ${y(each.value).toFixed(1)}`;
    const line = shown
      .map((each) => `L${at(each)}`)
      .join('')
      .replace('L', 'M');
    const end = measured.length === 1 ? width : x(measured.at(-1)?.at ?? 0);
    const start = x(measured[0]?.at ?? 0).toFixed(1);
    if (measured.length === 0 || isDashed) return s('path', { d: line, class: 'dashed' });
    const area = `${line}L${end.toFixed(1)} ${height}L${start} ${height}Z`;
    return s('path', { d: area, class: 'area' });
  });
  // Without a measurement there is no line, and nothing to say of it.
  const now = lines.flatMap(({ title, isDashed }, n) => {
    const last = all[n]?.at(-1);
    return last ? [{ isDashed, label: `${title}: ${text(last.value)}` }] : [];
  });
  return h(
    'figure',
    {},
    s('svg', { viewBox: `0 0 ${width} ${height + 1}`, role: 'img', 'aria-label': name }, ...paths),
    h(
      'figcaption',
      { class: 'quiet legend' },
      ...now.map(({ isDashed, label: title }) =>
        h(
          'span',
          {},
          h('span', { class: `key ${isDashed ? 'line dashed' : 'fill'}`, 'aria-hidden': 'true' }),
          title,
        ),
      ),
      h('span', {}, `since ${timeText(Math.max(beginsAt, from + first * binMs))}`),
      source !== undefined && h('span', {}, `from ${source}`),
    ),
  );
}
