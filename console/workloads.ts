import type { Host, Row, Workload, Workloads } from './answers.ts';
import { ask } from './api.ts';
import { type Column, h, megabytes, s, section, table, timeText } from './dom.ts';
import { changeList, workloadLink } from './overview.ts';

const columns: Column<Row>[] = [
  { title: 'Workload', sort: 'name', cell: ({ namespace, name }) => workloadLink(namespace, name) },
  { title: 'Mode', cell: ({ mode }) => mode },
  {
    title: 'Scope',
    sort: 'reason',
    cell: ({ scoped, reason }) =>
      h('span', { class: scoped ? 'good' : 'warn' }, `${scoped ? '✓' : '○'} ${reason}`),
  },
  { title: 'Hosts', number: true, sort: 'hosts', cell: ({ hosts }) => hosts },
  { title: 'Proxies', number: true, cell: ({ proxies }) => proxies },
  {
    title: 'Clusters',
    number: true,
    sort: 'clustersAfter',
    cell: ({ clustersBefore, clustersAfter }) =>
      `${clustersBefore || '–'} → ${clustersAfter || '–'}`,
  },
  {
    title: 'Memory',
    number: true,
    sort: 'memoryAfter',
    cell: ({ memoryBefore, memoryAfter }) =>
      `${megabytes(memoryBefore)} → ${megabytes(memoryAfter)}`,
  },
  { title: 'Saved', number: true, sort: 'saved', cell: ({ saved }) => megabytes(saved) },
];

/** What the user chose stays while the view is drawn again. */
const chosen = { search: '', by: 'saved', descending: true, shown: 200 };

export async function workloadsView(redraw: () => void): Promise<HTMLElement[]> {
  const { search, by, descending } = chosen;
  const query = { search, sort: by, order: descending ? 'descending' : 'ascending' };
  const { total, items } = await ask<Workloads>('workloads', query);
  const input = h('input', {
    ...{ type: 'search', id: 'search', value: search, autocomplete: 'off' },
    input: (event: Event) => {
      chosen.search = (event.target as HTMLInputElement).value;
      redraw();
    },
  });
  const onSort = (name: string) => {
    chosen.descending = chosen.by === name ? !chosen.descending : true;
    chosen.by = name;
    redraw();
  };
  const more = () => {
    chosen.shown += 200;
    redraw();
  };
  const shown = items.slice(0, chosen.shown);
  return [
    h('h2', {}, 'Workloads'),
    h(
      'div',
      { class: 'controls' },
      h('label', { for: 'search' }, 'Search'),
      input,
      h('span', { role: 'status' }, `${total} found`),
    ),
    h('section', {}, table('Workloads', columns, shown, { by, descending, onSort })),
    shown.length < total
      ? h(
          'p',
          {},
          `${shown.length} of ${total} are shown. `,
          shown.length < items.length && h('button', { type: 'button', click: more }, 'Show more'),
          shown.length === items.length && 'Search for the others.',
        )
      : h('p'),
  ];
}

const hostColumns: Column<Host>[] = [
  { title: 'Host', cell: ({ host }) => host },
  { title: 'Reason', cell: ({ reason, message }) => `${reason}${message ? `: ${message}` : ''}` },
  { title: 'First seen', cell: ({ firstSeen }) => timeText(firstSeen) },
  { title: 'Last seen', cell: ({ lastSeen }) => timeText(lastSeen) },
  { title: 'Calls in an hour', number: true, cell: ({ callsLastHour }) => callsLastHour },
];

export async function workloadView(namespace: string, name: string): Promise<HTMLElement[]> {
  const path = [namespace, name].map(encodeURIComponent).join('/');
  const found = await ask<Workload>(`workloads/${path}`);
  const { scoped, reason, message, figures, conditions } = found;
  const conditionColumns: Column<(typeof conditions)[number]>[] = [
    { title: 'Condition', cell: ({ type, status }) => `${type}: ${status}` },
    { title: 'Why', cell: (each) => `${each.reason}: ${each.message}` },
  ];
  const tile = (title: string, value: string) =>
    h('div', {}, h('dt', {}, title), h('dd', {}, value));
  return [
    h('h2', {}, `${namespace}/${name}`),
    h('p', { class: scoped ? 'good' : 'warn' }, `${scoped ? '✓' : '○'} ${reason}: ${message}`),
    h(
      'dl',
      { class: 'tiles' },
      tile(
        'Memory of a sidecar',
        `${megabytes(found.memoryBefore)} → ${megabytes(found.memoryAfter)}`,
      ),
      tile('Clusters', `${found.clustersBefore || '–'} → ${found.clustersAfter || '–'}`),
      tile('Mode', found.mode),
      tile('Proxies', String(found.proxies)),
    ),
    section('Hosts', table('Hosts', hostColumns, found.hosts)),
    h(
      'div',
      { class: 'columns' },
      section('Memory, last day', chart(figures.memory, megabytes, 'Memory')),
      section('Clusters, last day', chart(figures.clusters, String, 'Clusters')),
      section('Changes', changeList([...found.changes].reverse())),
      section('Conditions', table('Conditions', conditionColumns, conditions)),
    ),
    h('p', {}, h('a', { href: `#/topology/${path}` }, 'Whom it calls, now and before')),
  ];
}

const [width, height] = [480, 120];

/** Bins without a measurement are left out. */
function chart(values: readonly number[], text: (value: number) => string, what: string): Element {
  const measured = values.flatMap((value, at) => (value > 0 ? [{ value, at }] : []));
  const last = measured.at(-1);
  if (!last) return h('p', { class: 'quiet' }, 'Not measured yet.');
  const most = Math.max(...measured.map(({ value }) => value));
  const first = measured[0]?.at ?? 0;
  const span = Math.max(1, last.at - first);
  const x = (at: number) => (measured.length === 1 ? width : ((at - first) / span) * width);
  const y = (value: number) => height - (value / most) * (height - 20);
  const line = measured.map(({ value, at }) => `L${x(at).toFixed(1)} ${y(value).toFixed(1)}`);
  const area = `M0 ${height}L0 ${y(measured[0]?.value ?? 0)}${line.join('')}L${width} ${height}Z`;
  const label = `${what}: now ${text(last.value)}, at most ${text(most)}`;
  return h(
    'figure',
    {},
    s(
      'svg',
      { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label },
      s('path', { d: area, class: 'area' }),
    ),
    h('figcaption', { class: 'quiet' }, label),
  );
}
