import type { Advice, Finding } from './answers.ts';
import { ask } from './api.ts';
import { type Column, h, section, table } from './dom.ts';
import { workloadLink } from './overview.ts';

const marks = {
  blocks: ['✗ prevents scopes', 'warn'],
  differs: ['! costs calls', 'warn'],
  note: ['○ note', 'quiet'],
} as const;

const columns: Column<Finding>[] = [
  {
    title: 'Kind',
    cell: ({ severity }) => h('span', { class: marks[severity][1] }, marks[severity][0]),
  },
  { title: 'What', cell: ({ id, sentence }) => `${id}: ${sentence}` },
  { title: 'Workloads', number: true, cell: ({ count }) => count },
  { title: 'Which', cell: which },
];

export async function adviceView(): Promise<HTMLElement[]> {
  const { findings, elsewhere, workloads } = await ask<Advice>('advice');
  return [
    h('h2', {}, 'Advice'),
    section(
      'What the scopes say',
      findings.length > 0
        ? table('Findings', columns, findings)
        : workloads > 0
          ? h('p', { class: 'good' }, '✓ Nothing stands in the way of a scope.')
          : h('p', { class: 'quiet' }, 'No workload has a WorkloadScope yet.'),
    ),
    section(
      'What only the command sees',
      h(
        'p',
        { class: 'quiet' },
        'Controllers may not read istiod or containers. The command does, with your rights:',
      ),
      table(
        'Commands',
        [
          { title: 'Command', cell: ({ command }) => h('code', {}, command) },
          { title: 'Looks at', cell: ({ about }) => about },
        ],
        elsewhere,
      ),
    ),
  ];
}

function which({ subjects, count }: Finding): HTMLElement {
  const links = subjects.flatMap((subject, n) => {
    const [namespace = '', name = ''] = subject.split('/');
    return [n > 0 ? ', ' : '', workloadLink(namespace, name)];
  });
  const more = count - subjects.length;
  return h('span', {}, ...links, more > 0 && ` and ${more} more`);
}
