import { sharedText } from '../mesh/shared-text.ts';

/**
 * Who calls whom, as reported. An edge goes from an owner of pods (a Deployment or another
 * controller) to a host of the registry. A name that does not resolve is never kept, so that nobody
 * can fill the store with invented names.
 */

/** A host with the namespace that it belongs to: an entry of a Sidecar. */
export type HostRef = { namespace: string; host: string };

export type Edge = HostRef & {
  /** Milliseconds since the epoch. */
  firstSeen: number;
  lastSeen: number;
};

export type EdgeStore = {
  /**
   * Records a sighting. `first`: of that destination from that owner; `later`: the first in an
   * hour, which is the grain of records; `full`: it is not kept.
   */
  see(source: Source, destination: HostRef, seenAt: number): Sighting;
  /** Adds edges of an earlier process, keeping the widest known span. */
  restore(source: Source, edges: Iterable<Edge>): void;
  /** One destination, or all destinations of an owner. */
  forget(source: Source, destination?: HostRef): void;
  forgetNamespace(namespace: string): void;
  /** Sorted by namespace and host. */
  edgesFrom(source: Source): Edge[];
  /** Sightings refused because an owner has too many destinations. */
  overflow(): number;
  size(): number;
};

export type Sighting = 'first' | 'later' | 'again' | 'full';

/** Resolution of recorded uses: every change of one writes the whole object to etcd. */
export const lastSeenGrainMs = 3_600_000;

export type Source = { namespace: string; owner: string };

/**
 * Destinations of one owner: at 200 bytes each, the status of a scope stays below half of the 1.5
 * MiB that etcd accepts. A workload with more destinations is in effect a gateway, and should not
 * be scoped.
 */
export const destinationsMax = 2_000;

export function createEdgeStore(): EdgeStore {
  const bySource = new Map<string, Map<string, Edge>>();
  const keyOf = ({ namespace, owner }: Source) => `${namespace}/${owner}`;
  let overflow = 0;
  let size = 0;

  function see(
    source: Source,
    destination: HostRef,
    firstSeen: number,
    lastSeen: number,
  ): Sighting {
    const key = keyOf(source);
    const edges = bySource.get(key) ?? new Map<string, Edge>();
    bySource.set(key, edges);
    const { namespace, host } = destination;
    const known = edges.get(`${namespace}/${host}`);
    if (known) {
      const isLater = hourOf(lastSeen) > hourOf(known.lastSeen);
      known.firstSeen = Math.min(known.firstSeen, firstSeen);
      known.lastSeen = Math.max(known.lastSeen, lastSeen);
      return isLater ? 'later' : 'again';
    }
    if (edges.size >= destinationsMax) {
      overflow += 1;
      return 'full';
    }
    edges.set(sharedText(`${namespace}/${host}`), {
      namespace: sharedText(namespace),
      host: sharedText(host),
      firstSeen,
      lastSeen,
    });
    size += 1;
    return 'first';
  }

  function forgetAll(key: string): void {
    size -= bySource.get(key)?.size ?? 0;
    bySource.delete(key);
  }

  return {
    see: (source, destination, seenAt) => see(source, destination, seenAt, seenAt),
    restore(source, edges) {
      for (const edge of edges) see(source, edge, edge.firstSeen, edge.lastSeen);
    },
    forget(source, destination) {
      const key = keyOf(source);
      if (!destination) return forgetAll(key);
      const edges = bySource.get(key);
      if (edges?.delete(`${destination.namespace}/${destination.host}`)) size -= 1;
      if (edges?.size === 0) bySource.delete(key);
    },
    forgetNamespace(namespace) {
      for (const key of bySource.keys()) if (key.startsWith(`${namespace}/`)) forgetAll(key);
    },
    edgesFrom: (source) => {
      const edges = bySource.get(keyOf(source)) ?? new Map<string, Edge>();
      return [...edges.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, edge]) => edge);
    },
    overflow: () => overflow,
    size: () => size,
  };
}

function hourOf(time: number): number {
  return Math.floor(time / lastSeenGrainMs);
}

/** Each destination once, with the widest span. */
export function mergeEdges(edges: readonly Edge[]): Edge[] {
  const merged = new Map<string, Edge>();
  for (const edge of edges) {
    const key = `${edge.namespace}/${edge.host}`;
    const known = merged.get(key) ?? edge;
    merged.set(key, {
      ...edge,
      firstSeen: Math.min(edge.firstSeen, known.firstSeen),
      lastSeen: Math.max(edge.lastSeen, known.lastSeen),
    });
  }
  return [...merged.values()];
}
