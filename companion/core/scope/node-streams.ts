/**
 * Which node companions are connected to this replica. What is silent behind a companion that is
 * not heard, or not for long, may be well: nothing follows from it.
 */
export type NodeStreams = {
  opened(node: string, now: number): void;
  closed(node: string): void;
  /** When the newest stream of the node was opened; undefined while none is. */
  since(node: string): number | undefined;
  /** Nodes with a stream. */
  size(): number;
};

export function createNodeStreams(): NodeStreams {
  const nodes = new Map<string, { streams: number; since: number }>();
  return {
    opened(node, now) {
      // A companion that starts anew knows nothing yet, also while its predecessor still speaks.
      nodes.set(node, { streams: (nodes.get(node)?.streams ?? 0) + 1, since: now });
    },
    closed(node) {
      const known = nodes.get(node);
      if (!known) return;
      known.streams -= 1;
      if (known.streams <= 0) nodes.delete(node);
    },
    since: (node) => nodes.get(node)?.since,
    size: () => nodes.size,
  };
}
