import { sharedText } from '../mesh/shared-text.ts';
import { countLevels, createSeriesTable, type PackedLevel, type Range } from './series.ts';

/** How often each workload called each host, over time. */

/** 984 bins of two bytes: 40 MB for all of them, of the 48 MB that the history may take. */
export const edgesMax = 20_000;
/** Sorting all edges for each new one would be slow, so a full table makes room for several. */
const evictedShare = 0.01;
/**
 * In a mesh with more edges in use than there is room for, each report would make room again. So
 * room is made once in this time, and an edge that finds none is left out.
 */
const evictPauseMs = 10_000;

/** A workload and a host that it calls, as `namespace/host`. */
export type Called = { namespace: string; workload: string; host: string };

/** Times in milliseconds since the epoch; `total`: calls since `firstAt`. */
export type EdgeSummary = Called & { firstAt: number; lastAt: number; total: number };

type Row = EdgeSummary & { row: number };

export type PackedEdge = EdgeSummary & { series: PackedLevel[] };

export type EdgeCalls = EdgeSummary & { calls: number };

export type EdgeHistory = {
  /** Adds calls that were heard at `at`. */
  add(called: Called, at: number, calls: number): void;
  /**
   * Calls within the range by edge, from one level; edges without any are left out. Only wanted
   * edges are read, because reading is what takes time.
   */
  within(level: number, range: Range, isWanted?: (edge: Called) => boolean): EdgeCalls[];
  /** The calls of one edge in bins of one level; undefined for an unknown edge. */
  series(called: Called, level: number, range: Range): number[] | undefined;
  pack(): Iterable<PackedEdge>;
  /**
   * Takes an edge of another replica, which hears the same calls and has heard them for longer,
   * in place of its own. False if there is no room.
   */
  unpack(packed: PackedEdge): boolean;
  size(): number;
  /**
   * Edges that went to make room: those that were used longest ago, then the least used; and adds
   * that found no room.
   */
  evicted(): number;
  bytes(): number;
};

export function createEdgeHistory(max = edgesMax): EdgeHistory {
  const table = createSeriesTable(countLevels, 'sum', max);
  const edges = new Map<string, Row>();
  let evicted = 0;
  let evictedAt = Number.NEGATIVE_INFINITY;

  function evict(): void {
    const worst = [...edges].sort(([, a], [, b]) => a.lastAt - b.lastAt || a.total - b.total);
    for (const [key, { row }] of worst.slice(0, Math.max(1, Math.floor(max * evictedShare)))) {
      table.close(row);
      edges.delete(key);
      evicted += 1;
    }
  }

  function open(summary: EdgeSummary): Row | undefined {
    if (edges.size >= max) {
      if (summary.lastAt - evictedAt < evictPauseMs) {
        evicted += 1;
        return undefined;
      }
      evictedAt = summary.lastAt;
      evict();
    }
    const row = table.open();
    if (row === undefined) throw new Error('no row of the history is free');
    const { namespace, workload, firstAt, lastAt, total } = summary;
    const host = sharedText(summary.host);
    // Field by field: V8 gives each clone of an object by `...` a shape of its own (400 bytes).
    const fresh = { namespace, workload, host, firstAt, lastAt, total, row };
    edges.set(keyOf(summary), fresh);
    return fresh;
  }

  return {
    add(called, at, calls) {
      const { namespace, workload, host } = called;
      const edge =
        edges.get(keyOf(called)) ??
        open({ namespace, workload, host, firstAt: at, lastAt: at, total: 0 });
      if (!edge) return;
      edge.lastAt = Math.max(edge.lastAt, at);
      edge.total += calls;
      table.add(edge.row, at, calls);
    },
    within(level, range, isWanted = () => true) {
      const { binMs = 0 } = countLevels[level] ?? {};
      return [...edges.values()].flatMap(({ row, ...edge }) => {
        // A bin may reach over the ends of the range.
        if (edge.lastAt < range.from - binMs || edge.firstAt > range.to + binMs) return [];
        if (!isWanted(edge)) return [];
        const calls = table.read(row, level, range).reduce((a, b) => a + b, 0);
        return calls > 0 ? [{ ...edge, calls }] : [];
      });
    },
    series(called, level, range) {
      const edge = edges.get(keyOf(called));
      return edge && table.read(edge.row, level, range);
    },
    *pack() {
      for (const { row, ...edge } of edges.values()) yield { ...edge, series: table.pack(row) };
    },
    unpack({ series, ...edge }) {
      const known = edges.get(keyOf(edge));
      if (!known && edges.size >= max) return false;
      const into = known ?? open(edge);
      if (!into) return false;
      Object.assign(into, edge, { lastAt: Math.max(into.lastAt, edge.lastAt) });
      table.unpack(into.row, series);
      return true;
    },
    size: () => edges.size,
    evicted: () => evicted,
    bytes: table.bytes,
  };
}

function keyOf({ namespace, workload, host }: Called): string {
  return `${namespace}/${workload} ${host}`;
}
