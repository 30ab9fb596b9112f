import type { Change, Topology } from './answers.ts';
import { ask } from './api.ts';
import { type Child, h, rateText, searchField, section, table } from './dom.ts';
import { drawing } from './drawing.ts';
import { differences, type Flow, flowsOf, namespaceFlows, type Place } from './flows.ts';
import { changeList, playedBadge } from './overview.ts';
import { shown, showTime, timeControls } from './replay.ts';

/** What was typed stays while the view is drawn again. */
let search = '';

/** Rows of the tables; the drawing has fewer, the answer more. */
const rowsMax = { flows: 500, differences: 200, changes: 20 };
/** A pair is new only if the history had begun for this long, for it begins with all of them. */
const settledMs = 60_000;

export async function topologyView(place: Place, redraw: () => void): Promise<HTMLElement[]> {
  const { at, minutes, compareMs } = shown;
  const { namespace = '', workload = '' } = place;
  const by = namespace === '' && search === '' ? 'namespace' : '';
  const where = { namespace, workload, search, minutes, by };
  const [found, { changes }] = await Promise.all([
    ask<Topology>('topology', { ...where, ...(at !== undefined && { at }) }),
    ask<{ changes: Change[] }>('changes'),
  ]);
  const flows = flowsIn(found, place);
  const earlier =
    compareMs > 0
      ? await ask<Topology>('topology', { ...where, at: found.to - compareMs })
      : undefined;
  const seconds = Math.round(found.covered / 1_000);
  const isShort = found.covered > 0 && found.covered < 0.95 * (found.to - found.from);
  return [
    h('h2', {}, `Who calls whom: ${place.workload ?? place.namespace ?? 'all namespaces'}`),
    path(place),
    timeControls(found, redraw),
    h(
      'div',
      { class: 'controls' },
      ...searchField('Search hosts and workloads', search, (text) => {
        search = text;
        redraw();
      }),
      h('span', { role: 'status', class: 'quiet' }, `${flows.length} found`),
      isShort && h('span', { class: 'quiet' }, `The history has ${seconds} s of this time.`),
    ),
    h(
      'section',
      {},
      flows.length > 0
        ? h(
            'div',
            { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Drawing' },
            drawing(flows),
          )
        : h('p', { class: 'quiet' }, 'No calls in this time.'),
      legend(),
    ),
    ...(earlier ? [compared(earlier, place, flows)] : []),
    section('Changes in this time', changesWithin(changes, found, place, redraw)),
    section('The same as a table', flowTable(flows, place)),
    found.leftOut > 0
      ? h('p', {}, `${found.leftOut} pairs with fewer calls are left out: search for them.`)
      : h('p'),
  ];
}

function flowsIn(found: Topology, place: Place): Flow[] {
  const from = Math.max(found.from, found.beginsAt + settledMs);
  return found.namespaces.length > 0
    ? namespaceFlows(found.namespaces, from)
    : flowsOf(found.edges, place, from);
}

function legend(): HTMLElement {
  const key = (kind: string, text: string) =>
    h('span', {}, h('span', { class: `key ${kind}`, 'aria-hidden': 'true' }), text);
  return h(
    'p',
    { class: 'quiet legend' },
    key('line', 'calls; the wider, the more'),
    key('line new', 'dashed: called for the first time in this time'),
    key('box outside', '↗ dashed box: outside the mesh’s Services'),
  );
}

function path({ namespace, workload }: Place): HTMLElement {
  const parts: Child[] = [h('a', { href: '#/topology' }, 'All namespaces')];
  if (namespace !== undefined) {
    const href = `#/topology/${encodeURIComponent(namespace)}`;
    parts.push(' › ', h('a', { href }, namespace), ' ', playedBadge(namespace));
  }
  if (namespace !== undefined && workload !== undefined) {
    const href = `#/workloads/${encodeURIComponent(namespace)}/${encodeURIComponent(workload)}`;
    parts.push(' › ', workload, ' ', h('a', { href }, 'Details'));
  }
  return h('nav', { class: 'path', 'aria-label': 'Where you are' }, ...parts);
}

/** Each change is a way to its moment. */
function changesWithin(
  changes: readonly Change[],
  found: Topology,
  place: Place,
  redraw: () => void,
): HTMLElement {
  const within = changes.filter(
    ({ at, namespace, workload }) =>
      at > found.from &&
      at <= found.to &&
      (place.namespace === undefined || namespace === place.namespace) &&
      (place.workload === undefined || workload === place.workload),
  );
  return changeList(within.slice(-rowsMax.changes).reverse(), (change) => {
    showTime(change.at, found);
    redraw();
  });
}

function flowTable(flows: readonly Flow[], { namespace, workload }: Place): HTMLElement {
  const link = (name: string) => {
    const parts =
      name.includes('/') || namespace === undefined ? name.split('/') : [namespace, name];
    return h('a', { href: `#/topology/${parts.map(encodeURIComponent).join('/')}` }, name);
  };
  const rows = flows.slice(0, rowsMax.flows);
  const isNew = rows.some((each) => each.isNew);
  return table(
    'Who calls whom',
    [
      { title: 'From', cell: ({ from }) => (from === workload ? from : link(from)) },
      { title: 'To', cell: ({ to, isOutside }) => `${isOutside ? '↗ ' : ''}${to}` },
      { title: 'Rate', number: true, cell: ({ rate }) => rateText(rate) },
      ...(isNew
        ? [{ title: 'New', cell: (each: Flow) => (each.isNew ? 'first called now' : '') }]
        : []),
    ],
    rows,
  );
}

function compared(earlier: Topology, place: Place, after: readonly Flow[]): HTMLElement {
  if (earlier.covered <= 0) {
    const text = 'The history begins later, so nothing is known of that time.';
    return section('What changed since then', h('p', { class: 'quiet' }, text));
  }
  const found = differences(flowsIn(earlier, place), after);
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
      found.slice(0, rowsMax.differences),
    ),
  );
}
