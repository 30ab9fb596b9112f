import type { NodesKnown } from '../../companion/controller/console/nodes-known.ts';
import type { NodeMarks } from '../../companion/core/mesh/node-abilities.ts';
import type { NodeLabels } from '../../companion/core/mesh/node-features.ts';

const asked = { 'lazyscope.io/bypass': 'enabled' };
const state = (text: string): NodeMarks => ({
  labels: asked,
  annotations: { 'lazyscope.io/bypass-state': text },
});
const capable = {
  ...{ kernel: '6.18', btf: 'true', cgroups: 'v2', cryptomb: 'true', qat: 'false' },
  ...{ 'cpu-aes': 'true', 'cpu-avx512ifma': 'true', 'cpu-vaes': 'true', 'hugepages-2Mi': '64' },
};

/** One node of each kind: what it is labelled, and what the bypass wrote to its Node. */
const nodes: Record<string, [labels: NodeLabels | undefined, marks: NodeMarks]> = {
  'node-1': [capable, state('active (2 pods)')],
  'node-2': [
    { ...capable, cryptomb: 'false', qat: 'true' },
    state('refused: self-test failed: corrupt'),
  ],
  'node-3': [{ ...capable, kernel: '5.15', cryptomb: 'false' }, { labels: asked }],
  'node-4': [undefined, {}],
};

/** `more` are further nodes without a companion. */
export function playedNodes(more: Record<string, NodeMarks> = {}): NodesKnown {
  const heard = Object.entries(nodes).flatMap(([name, [labels]]): [string, NodeLabels][] =>
    labels ? [[name, labels]] : [],
  );
  const own = Object.entries(nodes).map(([name, [, marks]]): [string, NodeMarks] => [name, marks]);
  const marks = new Map([...own, ...Object.entries(more)]);
  return { labels: new Map(heard), marks: async () => marks };
}
