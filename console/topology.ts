import type { Change, Topology } from './answers.ts';
import { ask } from './api.ts';
import { h, rateText, s, section, table, timeText } from './dom.ts';
import { differences, type Flow, flowsOf, type Place } from './flows.ts';

/** Names in a column; the table has them all. */
const namesMax = 40;
const [width, left, right, step] = [900, 300, 600, 26];

/** The time that is shown; `at` undefined: now. */
const shown: { at: number | undefined; minutes: number; compareMs: number } = {
  at: undefined,
  minutes: 5,
  compareMs: 0,
};
let playing: ReturnType<typeof setInterval> | undefined;
let speed = 60;

export function stopReplay(): void {
  clearInterval(playing);
  playing = undefined;
}

export function isLive(): boolean {
  return shown.at === undefined;
}

export async function topologyView(place: Place, redraw: () => void): Promise<HTMLElement[]> {
  const { at, minutes, compareMs } = shown;
  const found = await ask<Topology>('topology', { minutes, ...(at !== undefined && { at }) });
  const flows = flowsOf(found.edges, place, Math.max(found.from, found.beginsAt + 60_000));
  const earlier =
    compareMs > 0
      ? await ask<Topology>('topology', { minutes, at: found.to - compareMs })
      : undefined;
  return [
    h('h2', {}, `Who calls whom: ${place.workload ?? place.namespace ?? 'all namespaces'}`),
    path(place),
    controls(found, redraw),
    h(
      'section',
      {},
      flows.length > 0 ? drawing(flows) : h('p', { class: 'quiet' }, 'No calls in this time.'),
      h(
        'p',
        { class: 'quiet' },
        'A dashed line was called for the first time in this time. A dashed box is outside the mesh’s Services.',
      ),
    ),
    ...(earlier ? [compared(flowsOf(earlier.edges, place, earlier.from), flows)] : []),
    section('The same as a table', flowTable(flows, place)),
    found.leftOut > 0
      ? h('p', {}, `${found.leftOut} pairs with fewer calls are left out.`)
      : h('p'),
  ];
}

function path({ namespace, workload }: Place): HTMLElement {
  const parts = [h('a', { href: '#/topology' }, 'All namespaces')];
  if (namespace !== undefined) {
    const href = `#/topology/${encodeURIComponent(namespace)}`;
    parts.push(h('a', { href }, namespace));
  }
  if (namespace !== undefined && workload !== undefined) {
    const href = `#/workloads/${encodeURIComponent(namespace)}/${encodeURIComponent(workload)}`;
    parts.push(h('a', { href }, `${workload}: details`));
  }
  return h('nav', { 'aria-label': 'Where you are' }, ...parts);
}

function controls(found: Topology, redraw: () => void): HTMLElement {
  const go = (at: number | undefined) => {
    shown.at = at === undefined || at >= found.now ? undefined : Math.max(at, found.beginsAt);
    redraw();
  };
  const slider = h('input', {
    ...{ type: 'range', id: 'when', step: 1_000, min: found.beginsAt, max: found.now },
    value: found.to,
    'aria-valuetext': timeText(found.to),
    change: (event: Event) => go(Number((event.target as HTMLInputElement).value)),
  });
  const jump = (forward: boolean) => async () => {
    const { changes } = await ask<{ changes: Change[] }>('changes');
    const times = changes.map(({ at }) => at);
    go(
      forward ? times.find((at) => at > found.to) : times.reverse().find((at) => at < found.to - 1),
    );
  };
  const play = () => {
    if (playing) stopReplay();
    else {
      shown.at ??= found.beginsAt;
      playing = setInterval(() => {
        shown.at = (shown.at ?? 0) + speed * 1_000;
        if (shown.at >= Date.now()) stopReplay();
        redraw();
      }, 1_000);
    }
    redraw();
  };
  const button = (text: string, click: () => void) => h('button', { type: 'button', click }, text);
  return h(
    'div',
    { class: 'controls', role: 'group', 'aria-label': 'Time' },
    h('label', { for: 'when' }, shown.at === undefined ? 'Now' : timeText(found.to)),
    slider,
    button(playing ? 'Pause' : 'Replay', play),
    button('Previous change', jump(false)),
    button('Next change', jump(true)),
    button('Live', () => {
      stopReplay();
      go(undefined);
    }),
    choice(
      'Span',
      shown.minutes,
      [1, 5, 15, 60, 1_440],
      (n) => (n < 60 ? `${n} min` : `${n / 60} h`),
      (n) => {
        shown.minutes = n;
        redraw();
      },
    ),
    choice(
      'Speed',
      speed,
      [10, 60, 600],
      (n) => `${n} × `,
      (n) => {
        speed = n;
      },
    ),
    choice(
      'Compare with',
      shown.compareMs,
      [0, 300_000, 3_600_000, 86_400_000],
      compareText,
      (n) => {
        shown.compareMs = n;
        redraw();
      },
    ),
  );
}

function compareText(ms: number): string {
  return ms === 0
    ? 'nothing'
    : ms < 3_600_000
      ? '5 min before'
      : ms < 86_400_000
        ? '1 h before'
        : '1 day before';
}

function choice(
  title: string,
  value: number,
  values: readonly number[],
  text: (value: number) => string,
  onChoice: (value: number) => void,
): HTMLElement {
  const options = values.map((each) =>
    h('option', { value: each, selected: each === value }, text(each)),
  );
  const change = (event: Event) => onChoice(Number((event.target as HTMLSelectElement).value));
  return h('label', {}, `${title} `, h('select', { change }, ...options));
}

function drawing(flows: readonly Flow[]): SVGElement {
  const column = (names: string[]) => [...new Set(names)].slice(0, namesMax);
  const [from, to] = [column(flows.map((each) => each.from)), column(flows.map((each) => each.to))];
  const height = Math.max(from.length, to.length) * step + 10;
  const y = (names: string[], name: string) =>
    ((names.indexOf(name) + 0.5) * (height - 10)) / names.length + 5;
  const drawn = flows.filter((each) => from.includes(each.from) && to.includes(each.to));
  const most = Math.max(...drawn.map(({ rate }) => rate));
  const lines = drawn.map((each) => {
    const [a, b] = [y(from, each.from), y(to, each.to)];
    const title = s('title', {}, `${each.from} calls ${each.to}: ${rateText(each.rate)}`);
    const stroke = (1 + 5 * Math.sqrt(each.rate / most)).toFixed(1);
    const d = `M${left} ${a}C${left + 150} ${a} ${right - 150} ${b} ${right} ${b}`;
    return s('path', { d, 'stroke-width': stroke, class: each.isNew && 'new' }, title);
  });
  const outside = new Set(drawn.filter((each) => each.isOutside).map((each) => each.to));
  const box = (name: string, x: number, at: number) => [
    s('rect', {
      x,
      y: at - 10,
      width: 292,
      height: 20,
      rx: 4,
      class: outside.has(name) && 'outside',
    }),
    s(
      'text',
      { x: x + 8, y: at + 5 },
      name.length > 40 ? `${name.slice(0, 39)}…` : name,
      s('title', {}, name),
    ),
  ];
  return s(
    'svg',
    {
      viewBox: `0 0 ${width} ${height}`,
      role: 'img',
      'aria-label': `${drawn.length} pairs; the table below has the same`,
    },
    ...lines,
    ...from.flatMap((name) => box(name, left - 296, y(from, name))),
    ...to.flatMap((name) => box(name, right + 4, y(to, name))),
  );
}

function flowTable(flows: readonly Flow[], place: Place): HTMLElement {
  const link = (name: string) => {
    const parts = place.namespace === undefined ? [name] : [place.namespace, name];
    return h('a', { href: `#/topology/${parts.map(encodeURIComponent).join('/')}` }, name);
  };
  return table(
    'Who calls whom',
    [
      { title: 'From', cell: ({ from }) => link(from) },
      { title: 'To', cell: ({ to }) => to },
      { title: 'Rate', number: true, cell: ({ rate }) => rateText(rate) },
      { title: '', cell: ({ isNew }) => (isNew ? 'first called now' : '') },
    ],
    flows.slice(0, 500),
  );
}

function compared(before: readonly Flow[], after: readonly Flow[]): HTMLElement {
  const found = differences(before, after);
  const what = ({ before: was, after: is }: (typeof found)[number]) =>
    was === 0 ? '+ came' : is === 0 ? '− went' : is > was ? '▲ more' : '▼ less';
  return section(
    'What changed since then',
    table(
      'What changed',
      [
        { title: 'Change', cell: what },
        { title: 'From', cell: ({ from }) => from },
        { title: 'To', cell: ({ to }) => to },
        { title: 'Then', number: true, cell: (each) => rateText(each.before) },
        { title: 'Now', number: true, cell: (each) => rateText(each.after) },
      ],
      found.slice(0, 200),
    ),
  );
}
