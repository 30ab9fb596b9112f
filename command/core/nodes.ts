import { counted } from '../../companion/core/mesh/counted.ts';
import type { NodeAbilities } from '../../companion/core/mesh/node-abilities.ts';
import { type Column, type Paint, tableOf } from './table.ts';

/** What `lazyscope nodes` prints. */

const columns: readonly Column<NodeAbilities>[] = [
  { title: 'NODE', cell: ({ node }) => node },
  {
    title: 'COMPANION',
    cell: ({ heard }) => (heard ? 'heard' : { text: 'not heard', tone: 'warn' }),
  },
  { title: 'KERNEL', cell: ({ features }) => features.kernel ?? '' },
  { title: 'CGROUPS', cell: ({ features }) => features.cgroups ?? '', wide: true },
  { title: 'BTF', cell: ({ features }) => features.btf ?? '', wide: true },
  { title: 'CPU', cell: ({ features }) => withPrefix(features, 'cpu-').join(','), wide: true },
  {
    title: 'HUGE PAGES',
    cell: ({ features }) =>
      withPrefix(features, 'hugepages-')
        .map((size) => `${features[`hugepages-${size}`]} x ${size}`)
        .join(', '),
    wide: true,
  },
  { title: 'TLS OFFLOAD', cell: ({ tls: { can } }) => can },
  { title: 'WHY', cell: ({ tls: { why } }) => why, wide: true },
  {
    title: 'BYPASS',
    cell: ({ bypass: { does } }) => ({ text: does, tone: does === 'on' ? 'good' : 'faint' }),
  },
  { title: 'WHY', cell: ({ bypass: { why } }) => why },
];

function withPrefix(features: NodeAbilities['features'], prefix: string): string[] {
  const names = Object.keys(features).filter((name) => name.startsWith(prefix));
  return names.map((name) => name.slice(prefix.length)).sort();
}

export function nodesText(
  nodes: readonly NodeAbilities[],
  view: { wide: boolean; paint: Paint },
): string {
  const count = (is: (node: NodeAbilities) => boolean) => nodes.filter(is).length;
  const offload = count(({ tls: { can } }) => can === 'cryptomb' || can === 'qat');
  const bypass = count((node) => node.bypass.does === 'on');
  const verdict = `${counted(nodes.length, 'node')}: ${offload} can offload TLS, the bypass is on at ${bypass === 0 ? 'none' : bypass}.`;
  return `${tableOf(columns, nodes, view)}${nodes.length > 0 ? '\n' : ''}${verdict}\n`;
}
