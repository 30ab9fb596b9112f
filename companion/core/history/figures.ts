import { createSeriesTable, figureLevels, type PackedLevel, type Range } from './series.ts';

/** Memory and clusters of the proxies of each workload, over time. */

/** 624 bins of two bytes, twice: 5 MB for all of them. */
export const workloadsMax = 2_000;

export type Figure = 'memory' | 'clusters';

/** Means over the proxies of a workload; memory as Envoy has it allocated. */
export type Means = { memoryBytes: number; clusters: number };

export type PackedFigures = { workload: string; memory: PackedLevel[]; clusters: PackedLevel[] };

export type FigureHistory = {
  /** `workload`: `namespace/name`. */
  set(workload: string, at: number, means: Means): void;
  /** Zero where nothing was measured. Memory in bytes, to the KiB. */
  series(workload: string, figure: Figure, level: number, range: Range): number[];
  pack(): Iterable<PackedFigures>;
  unpack(packed: PackedFigures): void;
  /** Workloads that went to make room: those that were measured longest ago. */
  evicted(): number;
  bytes(): number;
};

const kib = 1024;

export function createFigureHistory(max = workloadsMax): FigureHistory {
  const tables = {
    memory: createSeriesTable(figureLevels, 'last', max),
    clusters: createSeriesTable(figureLevels, 'last', max),
  };
  /** Rows of both tables; the workload that was measured longest ago comes first. */
  const rows = new Map<string, number>();
  let evicted = 0;

  function rowOf(workload: string): number {
    const known = rows.get(workload) ?? fresh();
    rows.delete(workload);
    rows.set(workload, known);
    return known;
  }

  function fresh(): number {
    const [oldest] = rows;
    if (rows.size >= max && oldest) {
      tables.memory.close(oldest[1]);
      tables.clusters.close(oldest[1]);
      rows.delete(oldest[0]);
      evicted += 1;
    }
    const row = tables.memory.open();
    // Both tables open and close the same rows, so they agree.
    if (row === undefined || tables.clusters.open() !== row) throw new Error('no row is free');
    return row;
  }

  return {
    set(workload, at, { memoryBytes, clusters }) {
      const row = rowOf(workload);
      tables.memory.add(row, at, memoryBytes / kib);
      tables.clusters.add(row, at, clusters);
    },
    series(workload, figure, level, range) {
      const row = rows.get(workload);
      if (row === undefined) return [];
      const unit = figure === 'memory' ? kib : 1;
      return tables[figure].read(row, level, range).map((value) => value * unit);
    },
    *pack() {
      for (const [workload, row] of rows) {
        yield { workload, memory: tables.memory.pack(row), clusters: tables.clusters.pack(row) };
      }
    },
    unpack({ workload, memory, clusters }) {
      const row = rowOf(workload);
      tables.memory.unpack(row, memory);
      tables.clusters.unpack(row, clusters);
    },
    evicted: () => evicted,
    bytes: () => tables.memory.bytes() + tables.clusters.bytes(),
  };
}
