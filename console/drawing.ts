import { s } from './dom.ts';
import { type Flow, marks } from './flows.ts';
import { rateText } from './text.ts';

/** Draws flows between two columns, or three around one workload. */

/** Names in a column; the table has more. */
const namesMax = 40;
const [step, boxHeight] = [30, 24];
/** A window that is narrower gets a drawing of its own width, so that texts keep their size. */
const narrowMax = 600;
/** Of a letter, about, and of what stands around the drawing. */
const [letterWidth, around] = [8, 60];
const rateWidth = 70;

type Box = { name: string; column: number; isOutside: boolean; rate: number; mark: Flow['mark'] };

export function drawing(flows: readonly Flow[]): SVGElement {
  const hasCallers = flows.some(({ isCaller }) => isCaller);
  const boxes = boxesOf(flows, hasCallers);
  const columns = hasCallers ? 3 : 2;
  const isNarrow = innerWidth <= narrowMax;
  const width = isNarrow ? Math.max(240, innerWidth - around) : 1_200;
  const boxWidth = isNarrow ? (width - 8) / (columns + 0.4) : columns === 3 ? 300 : 380;
  const x = (column: number) => ((width - boxWidth - 8) / (columns - 1)) * column + 4;
  const tall = Math.max(...boxes.map((names) => names.length));
  const height = tall * step + 8;
  const y = (column: number, at: number) =>
    ((at + 0.5) * (height - 8)) / (boxes[column]?.length || 1) + 4;
  const placed = new Map(
    boxes.flatMap((names) => names.map((box, at) => [keyOf(box), { box, at }] as const)),
  );
  const most = Math.max(...flows.map(({ rate }) => rate), Number.MIN_VALUE);
  const lines = flows.flatMap((flow) => {
    const [from, to] = endsOf(flow, hasCallers).map((end) => placed.get(keyOf(end)));
    if (!from || !to) return [];
    const [x1, x2] = [x(from.box.column) + boxWidth, x(to.box.column)];
    const [y1, y2] = [y(from.box.column, from.at), y(to.box.column, to.at)];
    const bend = (x2 - x1) / 2;
    const d = `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
    const what = flow.rate > 0 ? `calls ${flow.to}: ${rateText(flow.rate)}` : `may call ${flow.to}`;
    const title = s('title', {}, `${flow.from} ${what}`);
    const stroke = (1 + 6 * Math.sqrt(flow.rate / most)).toFixed(1);
    const kind = flow.isNew ? 'new' : flow.rate === 0 && 'idle';
    return [s('path', { d, 'stroke-width': stroke, class: kind }, title)];
  });
  const drawn = boxes.flatMap((names) =>
    names.flatMap((box, at) =>
      boxOf(box, { x: x(box.column), y: y(box.column, at), width: boxWidth, isNarrow }),
    ),
  );
  const label = `${flows.length} pairs; the table below has the same`;
  const attributes = { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label };
  return s('svg', { ...attributes, class: 'graph' }, ...lines, ...drawn);
}

const keyOf = ({ name, column }: Pick<Box, 'name' | 'column'>) => `${column} ${name}`;

/** Each end with the calls of this flow; the workload in the middle has those of two sides. */
function endsOf(flow: Flow, hasCallers: boolean): [Box, Box] {
  const { from, to, rate, isCaller, isOutside, mark } = flow;
  const first = hasCallers && !isCaller ? 1 : 0;
  const rateOf = (column: number) => (hasCallers && column === 1 ? 0 : rate);
  return [
    { name: from, column: first, isOutside: false, rate: rateOf(first), mark: undefined },
    // A caller's end is the workload itself, of which no scope says anything.
    {
      ...{ name: to, column: first + 1, isOutside, rate: rateOf(first + 1) },
      mark: isCaller ? undefined : mark,
    },
  ];
}

function boxesOf(flows: readonly Flow[], hasCallers: boolean): Box[][] {
  const columns: Map<string, Box>[] = hasCallers
    ? [new Map(), new Map(), new Map()]
    : [new Map(), new Map()];
  for (const flow of flows) {
    for (const box of endsOf(flow, hasCallers)) {
      const names = columns[box.column];
      const known = names?.get(box.name);
      if (known) {
        known.rate += box.rate;
        known.mark ??= box.mark;
      } else if (names && names.size < namesMax) names.set(box.name, box);
    }
  }
  return columns.map((names) => [...names.values()]);
}

type Shape = { x: number; y: number; width: number; isNarrow: boolean };

function boxOf({ name, isOutside, rate, mark }: Box, shape: Shape): SVGElement[] {
  const { x, y, width, isNarrow } = shape;
  const at = { x, y: y - boxHeight / 2, width, height: boxHeight, rx: 5 };
  const most = Math.floor((width - (isNarrow ? 10 : rateWidth)) / letterWidth);
  const marked = `${isOutside ? '↗ ' : ''}${mark ? `${marks[mark][0]} ` : ''}${name}`;
  const text = marked.length > most ? `${marked.slice(0, most - 1)}…` : marked;
  const rated = s('text', { x: x + width - 8, y: y + 5, class: 'small' }, rateText(rate));
  return [
    s('rect', { ...at, class: isOutside && 'outside' }),
    s('text', { x: x + (isNarrow ? 5 : 10), y: y + 5 }, text, s('title', {}, name)),
    ...(isNarrow || rate === 0 ? [] : [rated]),
  ];
}
