import { h, s, timeText } from './dom.ts';

export type Chart = {
  what: string;
  text(value: number): string;
  binMs: number;
  /** The time of the first value, in milliseconds since the epoch. */
  from: number;
  /** The first bin may reach back before the history begins. */
  beginsAt: number;
  lines: readonly { title: string; values: readonly number[]; isDashed?: boolean }[];
};

const [width, height] = [560, 150];

/** Lines over time; bins without a measurement are left out. */
export function lineChart({ what, text, binMs, from, beginsAt, lines }: Chart): HTMLElement {
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
  const now = lines.map(({ title, isDashed }, n) => ({
    isDashed,
    label: `${title ? `${title}: ` : ''}${text(all[n]?.at(-1)?.value ?? 0)}`,
  }));
  const label = `${what} ${now.map((each) => each.label).join(', ')}; at most ${text(most)}`;
  return h(
    'figure',
    {},
    s('svg', { viewBox: `0 0 ${width} ${height + 1}`, role: 'img', 'aria-label': label }, ...paths),
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
    ),
  );
}
