import type { Explanation, Host, Workload } from './answers.ts';
import { ask } from './api.ts';
import { lineChart } from './chart.ts';
import { type Column, h, hostText, megabytes, section, table, timeText } from './dom.ts';
import { changeList, count, playedBadge, tile, workloadLink } from './overview.ts';

const hostColumns: Column<Host>[] = [
  { title: 'Host', cell: ({ host }) => hostText(host) },
  { title: 'Reason', cell: ({ reason, message }) => `${reason}${message ? `: ${message}` : ''}` },
  { title: 'First seen', cell: ({ firstSeen }) => timeText(firstSeen) },
  { title: 'Last seen', cell: ({ lastSeen }) => timeText(lastSeen) },
  { title: 'Calls, last hour', number: true, cell: ({ callsLastHour }) => count(callsLastHour) },
];

const callerColumns: Column<Workload['callers'][number]>[] = [
  { title: 'Workload', cell: ({ namespace, workload }) => workloadLink(namespace, workload) },
  { title: 'Calls', cell: ({ host }) => hostText(host) },
  { title: 'First called', cell: ({ firstAt }) => timeText(firstAt) },
  { title: 'Calls, last hour', number: true, cell: ({ callsLastHour }) => count(callsLastHour) },
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
  const { scoped, reason, message, figures, conditions } = found;
  const conditionColumns: Column<(typeof conditions)[number]>[] = [
    { title: 'Condition', cell: ({ type, status }) => `${type}: ${status}` },
    { title: 'Why', cell: (each) => `${each.reason}: ${each.message}` },
  ];
  const chart = (what: string, values: number[], text: (value: number) => string) =>
    lineChart({
      ...{ what, text, binMs: figures.binMs, from: found.now - 86_400_000 },
      beginsAt: found.beginsAt,
      lines: [{ title: 'now', values }],
    });
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
      tile('Proxies', count(found.proxies)),
    ),
    h('p', {}, h('a', { href: `#/topology/${path}` }, 'Who calls it and whom it calls, drawn')),
    section('Hosts in its scope', table('Hosts', hostColumns, found.hosts)),
    section('What would happen to a call', ...callForm(redraw)),
    section('Who calls it', table('Callers', callerColumns, found.callers)),
    h(
      'div',
      { class: 'columns' },
      section('Memory, last day', chart('Memory', figures.memory, megabytes)),
      section('Clusters, last day', chart('Clusters', figures.clusters, count)),
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
