import type { NodeAbilities } from '../../companion/core/mesh/node-abilities.ts';
import { nodesText } from '../core/nodes.ts';
import { askConsole, openConsole } from '../frame/console.ts';
import type { Verb } from '../frame/verb.ts';

export const nodesVerb: Verb = {
  usage: 'nodes',
  about: 'what each node can do and does: CPU, kernel, TLS offload, bypass, and why not',
  example: ['lazyscope nodes', 'lazyscope nodes -o wide', 'lazyscope nodes -o json'],
  async run(session) {
    const access = await openConsole(await session.cluster(), { warn: session.out.warn });
    try {
      const { nodes } = await askConsole<{ nodes: NodeAbilities[] }>(access, '/api/v1/nodes');
      session.show({ data: { nodes }, text: (view) => nodesText(nodes, view) });
    } finally {
      access.close();
    }
    return undefined;
  },
};
