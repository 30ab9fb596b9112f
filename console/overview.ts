import type { Change, Overview } from './answers.ts';
import { ask, played } from './api.ts';
import { type Child, h, hostText, section, table } from './dom.ts';
import { askFigures, figureSection, namespaceChoice, ofNamespace, spanChoice } from './figures.ts';
import { count, megabytes, timeText } from './text.ts';

/** Of the latest changes. */
const changesMax = 8;

export async function overviewView(redraw: () => void): Promise<HTMLElement[]> {
  const [found, { changes }, figures] = await Promise.all([
    ask<Overview>('overview'),
    ask<{ changes: Change[] }>('changes', { limit: changesMax }),
    askFigures(),
  ]);
  return [
    h('h2', {}, 'Overview'),
    ...(found.workloads === 0 ? [nothingYet(found)] : []),
    tiles(found),
    h(
      'div',
      { class: 'controls' },
      spanChoice(found, redraw),
      namespaceChoice(
        found.namespaces.map(({ namespace }) => namespace),
        redraw,
      ),
    ),
    h(
      'div',
      { class: 'columns' },
      figureSection(figures, {
        ...{ title: `Memory of all sidecars${ofNamespace()}`, text: megabytes },
        lines: [
          { title: 'with full configuration', values: figures.full, isDashed: true },
          { title: 'as it is', values: figures.memory },
        ],
      }),
      figureSection(figures, {
        ...{ title: `Clusters, one sidecar of each workload${ofNamespace()}`, text: count },
        lines: [
          { title: 'with full configuration', values: figures.fullClusters, isDashed: true },
          { title: 'as it is', values: figures.clusters },
        ],
      }),
      h(
        'div',
        {},
        section('Needs somebody now', attention(found)),
        section('Workloads by mode', tallied('Mode', found.modes)),
        found.reasons.length > 0 &&
          section('Why workloads have no scope', tallied('Reason', found.reasons)),
      ),
      section('Latest changes', changeList(changes.toReversed())),
    ),
    section('Namespaces', namespaces(found)),
    h('p', { class: 'quiet' }, ...extent(found)),
  ];
}

function nothingYet({ everything }: Overview): HTMLElement {
  const label = h('code', {}, 'kubectl label namespace NAME lazyscope.io/mode=observe');
  return section(
    'No workload has a WorkloadScope yet',
    h(
      'p',
      {},
      everything
        ? 'A namespace gets them by its label: '
        : 'A namespace that you may list has none. ',
      everything && label,
    ),
  );
}

/** From when on something is known, and whether that is less than there was. */
function extent(found: Overview): Child[] {
  const { beginsAt, oldestAt, beganAnew, everything } = found;
  return [
    `History begins at ${timeText(beginsAt)}. `,
    beganAnew &&
      'There are older scopes: all controllers were gone at once, and what was called before is lost. ',
    oldestAt < beginsAt && `Prometheus has older times, since ${timeText(oldestAt)}. `,
    everything ? '' : 'Only the namespaces that you may list are shown.',
  ];
}

function tiles({ clusters, savedOverTime: memory, ...found }: Overview): HTMLElement {
  const fewer = percentLess(clusters.before, clusters.after);
  const less = percentLess(memory.full.at(-1) ?? 0, memory.is.at(-1) ?? 0);
  return h(
    'dl',
    { class: 'tiles' },
    tile('Memory saved in sidecars', megabytes(found.saved), less > 0 && `${less} % less`),
    tile(
      'Clusters in narrowed sidecars',
      fewer > 0 ? `${fewer} % fewer` : '–',
      `${count(clusters.before)} → ${count(clusters.after)}`,
    ),
    tile('Workloads with a scope', `${found.scoped} of ${found.workloads}`),
    tile('Proxies', found.proxies.toLocaleString()),
  );
}

export function tile(title: string, value: string, more: string | false = false): HTMLElement {
  return h('div', {}, h('dt', {}, title), h('dd', {}, value), more && h('dd', {}, more));
}

function tallied(title: string, rows: Overview['modes']): HTMLElement {
  return table(
    `${title}s`,
    [
      { title, cell: ({ name }) => name },
      { title: 'Workloads', number: true, cell: ({ count: of }) => of },
    ],
    rows,
  );
}

/** Rounded down, so that only what has nothing left is 100 % less. */
function percentLess(before: number, after: number): number {
  return before > 0 ? Math.max(0, Math.floor(100 * (1 - after / before))) : 0;
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
          h(
            'span',
            {},
            h('a', { href: `#/topology/${encodeURIComponent(namespace)}` }, namespace),
            ' ',
            playedBadge(namespace),
          ),
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
      {
        title: 'Clusters',
        number: true,
        cell: ({ clusters }) => `${count(clusters.before)} → ${count(clusters.after)}`,
      },
      { title: 'Memory saved', number: true, cell: ({ saved }) => megabytes(saved) },
    ],
    rows,
  );
}

export function workloadLink(namespace: string, name: string): HTMLElement {
  const path = [namespace, name].map(encodeURIComponent).join('/');
  return h('a', { href: `#/workloads/${path}` }, `${namespace}/${name}`);
}

/** Tells what a demo makes up from what is real. */
export function playedBadge(namespace: string): HTMLElement | false {
  const title = 'The demo makes up this namespace';
  return played().includes(namespace) && h('span', { class: 'badge', title }, 'played');
}

const words: Record<string, [symbol: string, text: string]> = {
  'first-call': ['★', 'first call of'],
  'host-added': ['+', 'now imports'],
  'host-removed': ['−', 'no longer imports'],
  scoped: ['✓', 'has a scope'],
  unscoped: ['○', 'has no scope any more'],
  mode: ['○', 'has mode'],
};

/** With `onJump`, the time of a change is a button. */
export function changeList(
  changes: readonly Change[],
  onJump?: (change: Change) => void,
): HTMLElement {
  if (changes.length === 0) return h('p', { class: 'quiet' }, 'None.');
  const items = changes.map((change) => {
    const { at, kind, namespace, workload, host, detail } = change;
    const [symbol, text] = words[kind] ?? ['○', kind];
    const time = h('time', { datetime: new Date(at).toISOString() }, timeText(at));
    const title = 'Show this moment';
    const click = () => onJump?.(change);
    return h(
      'li',
      {},
      onJump ? h('button', { type: 'button', class: 'link', title, click }, time) : time,
      h('span', { class: `mark ${kind}`, 'aria-hidden': 'true' }, symbol),
      h(
        'span',
        {},
        workloadLink(namespace, workload),
        ` ${text} `,
        host && hostText(host),
        detail && h('span', { class: 'quiet' }, ` (${detail})`),
      ),
    );
  });
  return h('ul', { class: 'changes' }, ...items);
}
