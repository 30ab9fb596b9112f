/**
 * The node companions that are connected to this replica. Proxies may be healthy although their
 * companion does not report, or has not for long, so their silence proves nothing.
 */
export type NodeStreams = {
  opened(node: string, now: number): void;
  closed(node: string): void;
  /** When the newest stream of the node was opened; undefined if there is none. */
  since(node: string): number | undefined;
  /** Nodes with a stream. */
  size(): number;
};

export function createNodeStreams(): NodeStreams {
  const nodes = new Map<string, { streams: number; since: number }>();
  return {
    opened(node, now) {
      // A new companion has no data yet, even while its predecessor still reports.
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
