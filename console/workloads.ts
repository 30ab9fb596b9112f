import type { Row, Workloads } from './answers.ts';
import { ask } from './api.ts';
import { type Column, h, searchField, table } from './dom.ts';
import { playedBadge, workloadLink } from './overview.ts';
import { count, megabytes } from './text.ts';

const columns: Column<Row>[] = [
  {
    title: 'Workload',
    sort: 'name',
    cell: ({ namespace, name }) =>
      h('span', {}, workloadLink(namespace, name), ' ', playedBadge(namespace)),
  },
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
      `${count(clustersBefore)} → ${count(clustersAfter)}`,
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
  const { total, items } = await askRows(query, chosen.shown);
  const onSearch = (text: string) => {
    chosen.search = text;
    redraw();
  };
  const onSort = (name: string) => {
    chosen.descending = chosen.by === name ? !chosen.descending : true;
    chosen.by = name;
    redraw();
  };
  const more = () => {
    chosen.shown += 200;
    redraw();
  };
  return [
    h('h2', {}, 'Workloads'),
    h(
      'div',
      { class: 'controls' },
      ...searchField('Search workloads and hosts', search, onSearch),
      h('span', { role: 'status' }, `${total} found`),
    ),
    h('section', {}, table('Workloads', columns, items, { by, descending, onSort })),
    items.length < total
      ? h(
          'p',
          {},
          `${items.length} of ${total} are shown. `,
          h('button', { type: 'button', click: more }, 'Show more'),
        )
      : h('p'),
  ];
}

/** The first rows, from as many answers as they take. */
async function askRows(query: Record<string, string>, wanted: number): Promise<Workloads> {
  const first = await ask<Workloads>('workloads', query);
  const items = [...first.items];
  let last = first;
  while (items.length < Math.min(wanted, first.total) && last.items.length > 0) {
    last = await ask<Workloads>('workloads', { ...query, offset: items.length });
    items.push(...last.items);
  }
  return { ...first, items: items.slice(0, wanted) };
}
