import { abilitiesOf, type NodeAbilities } from '../../core/mesh/node-abilities.ts';
import { type Access, Refusal } from './access.ts';
import { type Known, timesOf } from './known.ts';

export type NodesAnswer = ReturnType<typeof timesOf> & { nodes: NodeAbilities[]; left: number };

/** Most nodes of an answer: Kubernetes supports 5,000. */
const nodesMax = 5_000;

/** Nodes belong to no namespace, so they are for users who see every namespace. */
export async function nodesView(known: Known, access: Access): Promise<NodesAnswer> {
  if (!access.all) {
    const right = 'the right to list workloadscopes.lazyscope.io in every namespace';
    throw new Refusal(403, `nodes are shown only with ${right}`);
  }
  const marks = await known.nodes?.marks();
  const labels = known.nodes?.labels;
  const names = [...new Set([...(labels?.keys() ?? []), ...(marks?.keys() ?? [])])].sort();
  const nodes = names
    .slice(0, nodesMax)
    .map((name) => abilitiesOf(name, labels?.get(name), marks?.get(name)));
  return { ...timesOf(known), nodes, left: names.length - nodes.length };
}
