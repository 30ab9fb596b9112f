import type { Result, Row } from './result.ts';

/**
 * The picture of the README: the memory of one sidecar by the size of the mesh. Every value
 * comes from the results of `memory`.
 */

export type Bar = { services: number; full: number; scoped: number };

/** Megabytes allocated by size of mesh, from the results of `memory`. */
export function barsOf({ rows }: Result): Bar[] {
  const value = (services: number, which: string) => find(rows, `${services} services, ${which}`);
  return sizesOf(rows).map((services) => ({
    services,
    full: value(services, 'full'),
    scoped: value(services, 'scoped'),
  }));
}

function sizesOf(rows: readonly Row[]): number[] {
  const sizes = rows.flatMap((row) => /^(\d+) services, full$/.exec(row.case)?.[1] ?? []);
  return [...new Set(sizes.map(Number))].sort((a, b) => a - b);
}

function find(rows: readonly Row[], subject: string): number {
  const row = rows.find((each) => each.case === subject && each.metric === 'allocated');
  if (!row)
    throw new Error(`memory.json has no row "${subject}", allocated: run the benchmark again`);
  return row.value;
}

/**
 * The size of a mesh at which a scoped sidecar with the filter takes as much as one with
 * everything: the full one grows by as much for each service as between the two smallest sizes that
 * were measured.
 */
export function evenAt(bars: readonly Bar[]): number {
  const [small, large] = bars;
  if (!small || !large)
    throw new Error(
      'memory.json needs two sizes of mesh: run the benchmark again, without --quick',
    );
  const perService = (large.full - small.full) / (large.services - small.services);
  return Math.max(0, small.services - (small.full - small.scoped) / perService);
}

const width = 860;
const labelWidth = 130;
const barHeight = 26;
const groupHeight = 2 * barHeight + 34;
const top = 84;
const colours = { full: '#9aa5b1', scoped: '#0b7285', text: '#1f2933', faint: '#616e7c' };

/**
 * An SVG of pairs of bars on one scale, on a light card, so that it is readable on dark pages.
 */
export function pictureOf(bars: readonly Bar[], caption: string): string {
  const most = Math.max(...bars.map(({ full }) => full));
  const space = width - labelWidth - 190;
  const height = top + bars.length * groupHeight - 4;
  const groups = bars.map((each, index) => {
    const y = top + index * groupHeight;
    const bar = (value: number, at: number, colour: string, name: string) => {
      const length = Math.max(2, (value / most) * space);
      const right = labelWidth + length + 10;
      return [
        `<rect x="${labelWidth}" y="${at}" width="${length.toFixed(1)}" height="${barHeight - 4}" rx="3" fill="${colour}"/>`,
        text(right, at + 16, `${megabytes(value)} ${name}`, { fill: colours.text }),
      ];
    };
    const share = `${(100 * (each.scoped / each.full)).toFixed(each.scoped < each.full / 10 ? 1 : 0)} %`;
    return [
      text(labelWidth - 14, y + 18, each.services.toLocaleString('en-US'), {
        anchor: 'end',
        size: 17,
      }),
      text(labelWidth - 14, y + 38, 'services', { anchor: 'end', fill: colours.faint }),
      ...bar(each.full, y, colours.full, 'whole mesh'),
      ...bar(each.scoped, y + barHeight, colours.scoped, `scoped (${share})`),
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif">`,
    `<title>Memory of one sidecar: ${bars.map(sentence).join('; ')}</title>`,
    `<rect width="${width}" height="${height}" rx="10" fill="#ffffff" stroke="#d9e2ec"/>`,
    text(28, 40, 'Memory of one sidecar', { size: 21 }),
    text(28, 62, caption, { fill: colours.faint }),
    ...groups.flat(),
    '</svg>',
    '',
  ].join('\n');
}

function sentence({ services, full, scoped }: Bar): string {
  return `${services} services ${megabytes(full)} with the whole mesh, ${megabytes(scoped)} scoped`;
}

export function megabytes(value: number): string {
  return `${value < 100 ? value.toFixed(1) : Math.round(value)} MB`;
}

type TextOptions = { anchor?: string; size?: number; fill?: string };

function text(x: number, y: number, content: string, options: TextOptions = {}): string {
  const { anchor = 'start', size = 14, fill = colours.text } = options;
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y}" font-size="${size}" fill="${fill}" text-anchor="${anchor}">${escaped}</text>`;
}
