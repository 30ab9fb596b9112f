import type { Row, Workloads } from './answers.ts';
import { ask } from './api.ts';
import { type Column, h, megabytes, searchField, table } from './dom.ts';
import { count, playedBadge, workloadLink } from './overview.ts';

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
  const { total, items } = await ask<Workloads>('workloads', query);
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
  const shown = items.slice(0, chosen.shown);
  return [
    h('h2', {}, 'Workloads'),
    h(
      'div',
      { class: 'controls' },
      ...searchField('Search workloads and hosts', search, onSearch),
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
