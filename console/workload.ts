import type { Explanation, Host, Workload } from './answers.ts';
import { ask } from './api.ts';
import { type Column, h, hostText, section, table } from './dom.ts';
import { askFigures, figureSection, spanChoice } from './figures.ts';
import { kialiLink } from './kiali.ts';
import { changeList, playedBadge, tile, workloadLink } from './overview.ts';
import { count, megabytes, timeText } from './text.ts';

const hostColumns: Column<Host>[] = [
  { title: 'Host', cell: ({ host }) => hostText(host) },
  { title: 'Reason', cell: ({ reason, message }) => `${reason}${message ? `: ${message}` : ''}` },
  { title: 'First seen', cell: ({ firstSeen }) => timeText(firstSeen) },
  { title: 'Last seen', cell: ({ lastSeen }) => timeText(lastSeen) },
  {
    title: 'Calls, last hour',
    number: true,
    cell: ({ callsLastHour }) => callsLastHour.toLocaleString(),
  },
];

const callerColumns: Column<Workload['callers'][number]>[] = [
  { title: 'Workload', cell: ({ namespace, workload }) => workloadLink(namespace, workload) },
  { title: 'Calls', cell: ({ host }) => hostText(host) },
  { title: 'First called', cell: ({ firstAt }) => timeText(firstAt) },
  {
    title: 'Calls, last hour',
    number: true,
    cell: ({ callsLastHour }) => callsLastHour.toLocaleString(),
  },
];

/** The call that is being asked about, and its explanation; both stay while the view is drawn. */
const call: { path: string; to: string; explained: Explanation | undefined } = {
  ...{ path: '', to: '', explained: undefined },
};

export async function workloadView(
  namespace: string,
  name: string,
  redraw: () => void,
): Promise<HTMLElement[]> {
  const path = [namespace, name].map(encodeURIComponent).join('/');
  if (call.path !== path) Object.assign(call, { path, to: '', explained: undefined });
  const found = await ask<Workload>(`workloads/${path}`);
  const { scoped, reason, message, conditions } = found;
  const figures = await askFigures({ namespace, name });
  const conditionColumns: Column<(typeof conditions)[number]>[] = [
    { title: 'Condition', cell: ({ type, status }) => `${type}: ${status}` },
    { title: 'Why', cell: (each) => `${each.reason}: ${each.message}` },
  ];
  const [was, is] = [megabytes(found.memoryBefore), megabytes(found.memoryAfter)];
  return [
    h('h2', {}, `${namespace}/${name} `, playedBadge(namespace)),
    h('p', { class: scoped ? 'good' : 'warn' }, `${scoped ? '✓' : '○'} ${reason}: ${message}`),
    h(
      'dl',
      { class: 'tiles' },
      tile('Memory of a sidecar', `${was} → ${is}`),
      tile('Clusters', `${count(found.clustersBefore)} → ${count(found.clustersAfter)}`),
      tile('Mode', found.mode),
      tile('Proxies', found.proxies.toLocaleString()),
    ),
    h(
      'p',
      { class: 'controls' },
      h('a', { href: `#/topology/${path}` }, 'Who calls it and whom it calls, drawn'),
      kialiLink(found.kiali, namespace, name),
    ),
    section('Hosts in its scope', table('Hosts', hostColumns, found.hosts)),
    section('What would happen to a call', ...callForm(redraw)),
    section('Who calls it', table('Callers', callerColumns, found.callers)),
    h('div', { class: 'controls' }, spanChoice(found, redraw)),
    h(
      'div',
      { class: 'columns' },
      figureSection(figures, {
        ...{ title: 'Memory of one sidecar', text: megabytes },
        lines: [
          { title: 'with full configuration', values: figures.full, isDashed: true },
          { title: 'as it is', values: figures.memory },
        ],
      }),
      figureSection(figures, {
        ...{ title: 'Clusters of one sidecar', text: count },
        lines: [
          { title: 'with full configuration', values: figures.fullClusters, isDashed: true },
          { title: 'as it is', values: figures.clusters },
        ],
      }),
      section('Changes', changeList([...found.changes].reverse())),
      section('Conditions', table('Conditions', conditionColumns, conditions)),
    ),
    h(
      'section',
      {},
      h(
        'details',
        { id: 'yaml' },
        h('summary', {}, 'YAML of the WorkloadScope'),
        h('pre', { tabindex: 0, 'aria-label': 'YAML' }, found.yaml),
      ),
    ),
  ];
}

function callForm(redraw: () => void): HTMLElement[] {
  const { path, to, explained } = call;
  const submit = async (event: Event) => {
    event.preventDefault();
    call.explained = await ask<Explanation>(`workloads/${path}/call`, { to: call.to });
    redraw();
  };
  const input = h('input', {
    ...{ type: 'search', id: 'call', value: to, autocomplete: 'off', required: true },
    placeholder: 'cart.shop:8080',
    input: (event: Event) => {
      call.to = (event.target as HTMLInputElement).value;
    },
  });
  return [
    h(
      'form',
      { submit },
      h('label', { for: 'call' }, 'Host, host:port or URL'),
      input,
      h('button', {}, 'Explain'),
      h('span', { class: 'quiet' }, 'Nothing is sent.'),
    ),
    ...(explained ? [steps(explained)] : []),
  ];
}

function steps({ to, steps: found, refused }: Explanation): HTMLElement {
  if (refused) return h('p', { class: 'warn', role: 'status' }, `${to}: ${refused}`);
  return table(
    `A call to ${to}`,
    [
      { title: 'Step', cell: ({ step }) => step },
      { title: 'What happens', cell: ({ text }) => text },
    ],
    found,
  );
}
