import type { NodeRow, Nodes, Overview } from './answers.ts';
import { ask, Failure } from './api.ts';
import { type Column, h, searchField, table } from './dom.ts';
import { tile } from './overview.ts';

const offloads = { cryptomb: 'CryptoMb', qat: 'QAT', none: 'no', unknown: 'not known' } as const;

const columns: Column<NodeRow>[] = [
  { title: 'Node', cell: ({ node }) => h('span', { class: 'host' }, node) },
  { title: 'Companion', cell: ({ heard }) => state(heard, heard ? 'heard' : 'not heard', 'warn') },
  { title: 'Kernel', cell: ({ features }) => features.kernel ?? '–' },
  {
    title: 'TLS offload',
    cell: ({ tls }) => reasoned(state(canOffload(tls), offloads[tls.can], 'quiet'), tls.why),
  },
  {
    title: 'Bypass',
    cell: ({ bypass }) => reasoned(state(bypass.does === 'on', bypass.does, 'quiet'), bypass.why),
  },
  {
    title: 'Features',
    cell: (node) => h('span', { class: 'quiet' }, featuresOf(node).join(', ') || '–'),
  },
];

/** Rows that are drawn at once. */
const step = 200;
/** What the user chose stays while the view is drawn again. */
const chosen = { search: '', shown: step };

export async function nodesView(redraw: () => void): Promise<HTMLElement[]> {
  const title = h('h2', {}, 'Nodes');
  const answer = await askNodes();
  if (!answer) {
    const right =
      'Nodes belong to no namespace. They are shown to users who may list WorkloadScopes';
    return [title, h('p', { role: 'alert' }, `${right} in every namespace.`)];
  }
  const found = answer.nodes.filter((node) => textOf(node).includes(chosen.search.toLowerCase()));
  const shown = found.slice(0, chosen.shown);
  const onSearch = (text: string) => {
    chosen.search = text;
    redraw();
  };
  const more = () => {
    chosen.shown += step;
    redraw();
  };
  return [
    title,
    tiles(answer),
    h(
      'div',
      { class: 'controls' },
      ...searchField('Search nodes, reasons and features', chosen.search, onSearch),
      h('span', { role: 'status' }, `${found.length} found`),
    ),
    h('section', {}, table('Nodes', columns, shown)),
    shown.length < found.length
      ? h(
          'p',
          {},
          `${shown.length} of ${found.length} are shown. `,
          h('button', { type: 'button', click: more }, 'Show more'),
        )
      : h('p'),
    answer.left > 0
      ? h('p', { class: 'quiet' }, `${answer.left} more nodes are left out of the answer.`)
      : h('p'),
  ];
}

/** Undefined if the user may see some namespaces only, and so no nodes. */
async function askNodes(): Promise<Nodes | undefined> {
  try {
    return await ask<Nodes>('nodes');
  } catch (error) {
    if (!(error instanceof Failure) || error.status !== 403) throw error;
    // A user who may see nothing at all is refused here again, and is asked for another token.
    await ask<Overview>('overview');
    return undefined;
  }
}

function tiles({ nodes, left }: Nodes): HTMLElement {
  const of = (is: (node: NodeRow) => boolean) => `${nodes.filter(is).length} of ${nodes.length}`;
  return h(
    'dl',
    { class: 'tiles' },
    tile('Nodes', (nodes.length + left).toLocaleString()),
    tile(
      'Can offload TLS',
      of(({ tls }) => canOffload(tls)),
    ),
    tile(
      'Bypass is on',
      of(({ bypass }) => bypass.does === 'on'),
    ),
  );
}

function canOffload({ can }: NodeRow['tls']): boolean {
  return can === 'cryptomb' || can === 'qat';
}

function state(isGood: boolean, text: string, otherwise: 'warn' | 'quiet'): HTMLElement {
  return h('span', { class: isGood ? 'good' : otherwise }, `${isGood ? '✓' : '○'} ${text}`);
}

function reasoned(what: HTMLElement, why: string): HTMLElement {
  return h('span', {}, what, h('span', { class: 'quiet' }, `: ${why}`));
}

/** Labels without what other columns say: `cpu-aes`, `cgroups v2`; what is false is left out. */
function featuresOf({ features }: NodeRow): string[] {
  return Object.entries(features)
    .filter(([name, value]) => value !== 'false' && name !== 'kernel')
    .map(([name, value]) => (value === 'true' ? name : `${name} ${value}`))
    .sort();
}

function textOf(node: NodeRow): string {
  const { tls, bypass, features } = node;
  const states = [offloads[tls.can], tls.why, bypass.does, bypass.why, features.kernel ?? ''];
  return [node.node, ...states, ...featuresOf(node)].join('\n').toLowerCase();
}
