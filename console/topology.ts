import type { Change, Topology } from './answers.ts';
import { ask } from './api.ts';
import { type Child, h, searchField, section, table } from './dom.ts';
import { drawing } from './drawing.ts';
import { differences, type Flow, flowsOf, marks, namespaceFlows, type Place } from './flows.ts';
import { kialiLink } from './kiali.ts';
import { changeList, playedBadge } from './overview.ts';
import { comparedAt, shown, showTime, timeControls } from './replay.ts';
import { durationText, rateText, timeText } from './text.ts';

/** What was typed stays while the view is drawn again. */
let search = '';

/** Rows of the tables; the drawing has fewer, the answer more. */
const rowsMax = { flows: 500, differences: 200, changes: 20 };
/** A pair is new only if the history had begun for this long, for it begins with all of them. */
const settledMs = 60_000;

export async function topologyView(place: Place, redraw: () => void): Promise<HTMLElement[]> {
  const { at, minutes } = shown;
  const { namespace = '', workload = '' } = place;
  const by = namespace === '' && search === '' ? 'namespace' : '';
  const where = { namespace, workload, search, minutes, by };
  const found = await ask<Topology>('topology', { ...where, ...(at !== undefined && { at }) });
  const flows = flowsIn(found, place);
  const otherAt = comparedAt(found.to);
  const other = otherAt && (await ask<Topology>('topology', { ...where, at: otherAt }));
  const { from, to } = found;
  const within = { namespace, workload, from: Math.floor(from) + 1, to, limit: rowsMax.changes };
  const { changes } = await ask<{ changes: Change[] }>('changes', within);
  const seconds = Math.round(found.covered / 1_000);
  const isCoarse = found.source === 'history' && found.binMs > found.to - found.from;
  const isShort = found.covered > 0 && found.covered < 0.95 * (found.to - found.from);
  return [
    h('h2', {}, `Who calls whom: ${place.workload ?? place.namespace ?? 'all namespaces'}`),
    path(place, found),
    timeControls(found, place, redraw),
    h(
      'div',
      { class: 'controls' },
      ...searchField('Search hosts and workloads', search, (text) => {
        search = text;
        redraw();
      }),
      h('span', { role: 'status', class: 'quiet' }, `${flows.length} found`),
      found.source === 'prometheus' && sourceOf(found),
      isShort && h('span', { class: 'quiet' }, `The history has ${seconds} s of this time.`),
      isCoarse &&
        h('span', { class: 'quiet' }, `Rates are means over ${durationText(found.binMs)}.`),
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
        : h(
            'p',
            { class: 'quiet' },
            found.refused ? 'Nothing is known.' : 'No calls in this time.',
          ),
      legend(),
    ),
    ...(other ? [compared(other, found, place)] : []),
    section(
      'Changes in this time',
      found.source === 'prometheus'
        ? h('p', { class: 'quiet' }, 'Not known: Prometheus has no changes of scopes.')
        : changesWithin(changes, found, redraw),
    ),
    section('The same as a table', flowTable(flows, place)),
    found.leftOut > 0
      ? h('p', {}, `${found.leftOut} pairs with fewer calls are left out: search for them.`)
      : h('p'),
  ];
}

/** Scopes and first calls of that time are not in Prometheus. */
function sourceOf({ refused }: Topology): HTMLElement {
  if (refused !== undefined)
    return h('span', { class: 'warn', role: 'status' }, `! This time is unknown: ${refused}`);
  return h('span', { class: 'quiet' }, 'From Istio’s metrics in Prometheus, to the minute.');
}

function flowsIn(found: Topology, place: Place): Flow[] {
  // Prometheus is not asked since when.
  const from =
    found.source === 'prometheus' ? Infinity : Math.max(found.from, found.beginsAt + settledMs);
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
    key('line idle', 'thin and grey: in the scope, not called in this time'),
    key('box outside', '↗ dashed box: outside the mesh’s Services'),
    ...Object.values(marks).map(([symbol, text]) => h('span', {}, `${symbol} ${text}`)),
  );
}

function path({ namespace, workload }: Place, { kiali }: Topology): HTMLElement {
  const parts: Child[] = [h('a', { href: '#/topology' }, 'All namespaces')];
  if (namespace !== undefined) {
    const href = `#/topology/${encodeURIComponent(namespace)}`;
    parts.push(' › ', h('a', { href }, namespace), ' ', playedBadge(namespace));
  }
  if (namespace !== undefined && workload !== undefined) {
    const href = `#/workloads/${encodeURIComponent(namespace)}/${encodeURIComponent(workload)}`;
    parts.push(' › ', workload, ' ', h('a', { href }, 'Details'));
  }
  if (namespace !== undefined) parts.push(' ', kialiLink(kiali, namespace, workload));
  return h('nav', { class: 'path', 'aria-label': 'Where you are' }, ...parts);
}

/** Each change is a way to its moment. */
function changesWithin(
  changes: readonly Change[],
  found: Topology,
  redraw: () => void,
): HTMLElement {
  return changeList(changes.toReversed(), (change) => {
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
  const hasNotes = rows.some((each) => noteOf(each) !== '');
  return table(
    'Who calls whom',
    [
      { title: 'From', cell: ({ from }) => (from === workload ? from : link(from)) },
      { title: 'To', cell: ({ to, isOutside }) => `${isOutside ? '↗ ' : ''}${to}` },
      { title: 'Rate', number: true, cell: ({ rate }) => rateText(rate) },
      ...(hasNotes ? [{ title: 'Note', cell: noteOf }] : []),
    ],
    rows,
  );
}

function noteOf({ isNew, mark, expiresAt = 0 }: Flow): string {
  if (mark === 'eager') return `${marks.eager[0]} eager`;
  if (mark === 'expiring') return `${marks.expiring[0]} expires ${timeText(expiresAt)}`;
  return isNew ? '★ first called in this time' : '';
}

/** The earlier moment comes first, whichever of the two is shown. */
function compared(other: Topology, found: Topology, place: Place): HTMLElement {
  const [before, after] = other.to < found.to ? [other, found] : [found, other];
  const [then, later] = [timeText(before.to), timeText(after.to)];
  const title = `What changed between ${then} and ${later}`;
  if (other.covered <= 0) {
    const text = other.refused ?? 'The history begins later, so nothing is known of that time.';
    return section(title, h('p', { class: 'quiet' }, text));
  }
  const rows = differences(flowsIn(before, place), flowsIn(after, place));
  const what = ({ before: was, after: is }: (typeof rows)[number]) =>
    was === 0 ? '+ came' : is === 0 ? '− went' : is > was ? '▲ more' : '▼ less';
  return section(
    title,
    table(
      'What changed',
      [
        { title: 'Change', cell: what },
        { title: 'From', cell: ({ from }) => from },
        { title: 'To', cell: ({ to }) => to },
        { title: `At ${then}`, number: true, cell: (each) => rateText(each.before) },
        { title: `At ${later}`, number: true, cell: (each) => rateText(each.after) },
      ],
      rows.slice(0, rowsMax.differences),
    ),
  );
}
