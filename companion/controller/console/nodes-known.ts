import type { NodeMarks } from '../../core/mesh/node-abilities.ts';
import type { NodeLabels } from '../../core/mesh/node-features.ts';
import type { Kube } from '../../kube/object.ts';

/** What the companions of the nodes found, and what the bypass wrote to the Nodes. */
export type NodesKnown = {
  /** By node, of the companions that are connected to this replica. */
  labels: ReadonlyMap<string, NodeLabels>;
  /** By node; undefined if the API server did not answer. */
  marks(): Promise<ReadonlyMap<string, NodeMarks> | undefined>;
};

/** A page that is open asks again and again; what the bypass does changes in seconds. */
const rememberedMs = 10_000;

/**
 * Lists Nodes only while somebody looks: a watch would bring each heartbeat of each node, and only
 * their metadata is asked for.
 */
export function createNodesKnown(options: {
  kube: Pick<Kube, 'listMetadata'>;
  labels: ReadonlyMap<string, NodeLabels>;
  now: () => number;
}): NodesKnown {
  const { kube, labels, now } = options;
  let last: { at: number; marks: ReturnType<NodesKnown['marks']> } | undefined;
  async function list() {
    const nodes = await kube.listMetadata({ group: '', version: 'v1', plural: 'nodes' });
    return new Map(nodes.map(({ metadata }) => [metadata.name, metadata] as const));
  }
  return {
    labels,
    marks() {
      if (!last || now() - last.at > rememberedMs) {
        last = { at: now(), marks: list().catch(() => undefined) };
      }
      return last.marks;
    },
  };
}
