import { rateText, s } from './dom.ts';
import type { Flow } from './flows.ts';

/** Draws flows between two columns, or three around one workload. */

/** Names in a column; the table has more. */
const namesMax = 40;
const [width, step, boxHeight] = [1_200, 30, 24];

type Box = { name: string; column: number; isOutside: boolean };

export function drawing(flows: readonly Flow[]): SVGElement {
  const hasCallers = flows.some(({ isCaller }) => isCaller);
  const boxes = boxesOf(flows, hasCallers);
  const columns = hasCallers ? 3 : 2;
  const boxWidth = columns === 3 ? 300 : 380;
  const x = (column: number) => ((width - boxWidth - 8) / (columns - 1)) * column + 4;
  const tall = Math.max(...boxes.map((names) => names.length));
  const height = tall * step + 8;
  const y = (column: number, at: number) =>
    ((at + 0.5) * (height - 8)) / (boxes[column]?.length || 1) + 4;
  const placed = new Map(
    boxes.flatMap((names) => names.map((box, at) => [keyOf(box), { box, at }] as const)),
  );
  const most = Math.max(...flows.map(({ rate }) => rate));
  const lines = flows.flatMap((flow) => {
    const [from, to] = endsOf(flow, hasCallers).map((end) => placed.get(keyOf(end)));
    if (!from || !to) return [];
    const [x1, x2] = [x(from.box.column) + boxWidth, x(to.box.column)];
    const [y1, y2] = [y(from.box.column, from.at), y(to.box.column, to.at)];
    const bend = (x2 - x1) / 2;
    const d = `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
    const title = s('title', {}, `${flow.from} calls ${flow.to}: ${rateText(flow.rate)}`);
    const stroke = (1 + 6 * Math.sqrt(flow.rate / most)).toFixed(1);
    return [s('path', { d, 'stroke-width': stroke, class: flow.isNew && 'new' }, title)];
  });
  const drawn = boxes.flatMap((names) =>
    names.flatMap((box, at) => boxOf(box, x(box.column), y(box.column, at), boxWidth)),
  );
  const label = `${flows.length} pairs; the table below has the same`;
  const attributes = { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label };
  return s('svg', { ...attributes, class: 'graph' }, ...lines, ...drawn);
}

const keyOf = ({ name, column }: Pick<Box, 'name' | 'column'>) => `${column} ${name}`;

function endsOf({ from, to, isCaller, isOutside }: Flow, hasCallers: boolean): [Box, Box] {
  const first = hasCallers && !isCaller ? 1 : 0;
  return [
    { name: from, column: first, isOutside: false },
    { name: to, column: first + 1, isOutside },
  ];
}

function boxesOf(flows: readonly Flow[], hasCallers: boolean): Box[][] {
  const columns: Map<string, Box>[] = hasCallers
    ? [new Map(), new Map(), new Map()]
    : [new Map(), new Map()];
  for (const flow of flows) {
    for (const box of endsOf(flow, hasCallers)) {
      const names = columns[box.column];
      if (names && names.size < namesMax && !names.has(box.name)) names.set(box.name, box);
    }
  }
  return columns.map((names) => [...names.values()]);
}

function boxOf({ name, isOutside }: Box, x: number, y: number, boxWidth: number): SVGElement[] {
  const at = { x, y: y - boxHeight / 2, width: boxWidth, height: boxHeight, rx: 5 };
  const most = Math.floor(boxWidth / 8);
  const text = name.length > most ? `${name.slice(0, most - 1)}…` : name;
  return [
    s('rect', { ...at, class: isOutside && 'outside' }),
    s('text', { x: x + 10, y: y + 5 }, `${isOutside ? '↗ ' : ''}${text}`, s('title', {}, name)),
  ];
}
