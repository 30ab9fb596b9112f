import type { Change, Overview } from './answers.ts';
import { ask } from './api.ts';
import { type Column, h, megabytes, section, table, timeText } from './dom.ts';

export async function overviewView(): Promise<HTMLElement[]> {
  const [found, { changes }] = await Promise.all([
    ask<Overview>('overview'),
    ask<{ changes: Change[] }>('changes'),
  ]);
  const { clusters } = found;
  const fewer = clusters.before > 0 ? Math.round(100 * (1 - clusters.after / clusters.before)) : 0;
  const tile = (title: string, value: string) =>
    h('div', {}, h('dt', {}, title), h('dd', {}, value));
  const counts: Column<{ name: string; count: number }>[] = [
    { title: 'Reason', cell: ({ name }) => name },
    { title: 'Workloads', number: true, cell: ({ count }) => count },
  ];
  return [
    h('h2', {}, 'Overview'),
    h(
      'dl',
      { class: 'tiles' },
      tile('Memory saved in sidecars', megabytes(found.saved)),
      tile('Clusters in narrowed sidecars', fewer > 0 ? `${fewer} % fewer` : '–'),
      tile('Workloads with a scope', `${found.scoped} of ${found.workloads}`),
      tile('Proxies', String(found.proxies)),
    ),
    h(
      'div',
      { class: 'columns' },
      section('Needs somebody now', attention(found)),
      section('Why workloads have no scope', table('Reasons', counts, found.reasons)),
      section('Namespaces', namespaces(found)),
      section('Latest changes', changeList(changes.slice(-12).reverse())),
    ),
    h(
      'p',
      { class: 'quiet' },
      `History begins at ${timeText(found.beginsAt)}. `,
      found.everything ? '' : 'Only the namespaces that you may list are shown.',
    ),
  ];
}

function attention({ attention: rows }: Overview): HTMLElement {
  if (rows.length === 0) return h('p', { class: 'good' }, '✓ Nothing.');
  return table(
    'Needs somebody now',
    [
      { title: 'Workload', cell: (row) => workloadLink(row.namespace, row.workload) },
      { title: 'What', cell: ({ reason, message }) => `${reason}: ${message}` },
    ],
    rows,
  );
}

function namespaces({ namespaces: rows }: Overview): HTMLElement {
  return table(
    'Namespaces',
    [
      {
        title: 'Namespace',
        cell: ({ namespace }) =>
          h('a', { href: `#/topology/${encodeURIComponent(namespace)}` }, namespace),
      },
      {
        title: 'With a scope',
        cell: ({ scoped, workloads }) =>
          h(
            'span',
            {},
            h('meter', {
              max: Math.max(1, workloads),
              value: scoped,
              'aria-label': `${scoped} of ${workloads}`,
            }),
            ` ${scoped} of ${workloads}`,
          ),
      },
      { title: 'Saved', number: true, cell: ({ saved }) => megabytes(saved) },
    ],
    rows,
  );
}

export function workloadLink(namespace: string, name: string): HTMLElement {
  const path = [namespace, name].map(encodeURIComponent).join('/');
  return h('a', { href: `#/workloads/${path}` }, `${namespace}/${name}`);
}

const words: Record<string, string> = {
  'first-call': 'first call of',
  'host-added': 'now imports',
  'host-removed': 'no longer imports',
  scoped: 'has a scope',
  unscoped: 'has no scope any more',
  mode: 'has mode',
};

export function changeList(changes: readonly Change[]): HTMLElement {
  if (changes.length === 0) return h('p', { class: 'quiet' }, 'None yet.');
  const items = changes.map(({ at, kind, namespace, workload, host, detail }) =>
    h(
      'li',
      {},
      h('time', { class: 'quiet', datetime: new Date(at).toISOString() }, timeText(at)),
      ' ',
      workloadLink(namespace, workload),
      ` ${words[kind] ?? kind} ${host}`,
      detail && h('span', { class: 'quiet' }, ` (${detail})`),
    ),
  );
  return h('ul', { class: 'changes' }, ...items);
}
