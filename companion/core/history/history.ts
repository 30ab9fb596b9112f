import { type Change, type Changes, createChanges } from './changes.ts';
import { type Counters, createCounters } from './counters.ts';
import { createEdgeHistory, type EdgeHistory, type PackedEdge } from './edges.ts';
import { createFigureHistory, type FigureHistory, type PackedFigures } from './figures.ts';
import { countLevels, type Range } from './series.ts';

/**
 * What the controllers remember of the past, in memory only: both replicas hear every report, and
 * each keeps its own history.
 */
export type History = {
  counters: Counters;
  edges: EdgeHistory;
  figures: FigureHistory;
  changes: Changes;
  /** Milliseconds since the epoch: nothing is known of the time before. */
  beginsAt(): number;
  /** Everything, one line of JSON for each item, the oldest time first. */
  pack(): Iterable<string>;
  /**
   * Takes over the history of another replica, line by line. The result throws at a line that is
   * none.
   */
  unpack(): (line: string) => void;
};

type Line =
  | { layout: number; beginsAt: number }
  | { edge: PackedEdge }
  | { figures: PackedFigures }
  | { changes: Change[] };

/** Of the lines; another layout is not read, and then history begins with the replica. */
const layout = 2;

export function createHistory(startedAt: number): History {
  const counters = createCounters(startedAt);
  const edges = createEdgeHistory();
  const figures = createFigureHistory();
  const changes = createChanges(startedAt);
  let beginsAt = startedAt;

  function take(line: Line): void {
    if ('edge' in line) edges.unpack(line.edge);
    else if ('figures' in line) figures.unpack(line.figures);
    else if ('changes' in line) changes.restore(line.changes);
  }

  return {
    ...{ counters, edges, figures, changes },
    beginsAt: () => beginsAt,
    *pack() {
      yield lineOf({ layout, beginsAt });
      for (const edge of edges.pack()) yield lineOf({ edge });
      for (const packed of figures.pack()) yield lineOf({ figures: packed });
      yield lineOf({ changes: changes.since(0) });
    },
    unpack() {
      let isFirst = true;
      return (text) => {
        const line = JSON.parse(text) as Line;
        if (!isFirst) return take(line);
        if (!('layout' in line) || line.layout !== layout) throw new Error('unknown layout');
        beginsAt = Math.min(beginsAt, line.beginsAt);
        isFirst = false;
      };
    },
  };
}

function lineOf(line: Line): string {
  return JSON.stringify(line);
}

/** The finest level that still has the bins of that time. */
export function levelFor(from: number, now: number): number {
  const found = countLevels.findIndex(({ binMs, bins }) => now - from <= binMs * (bins - 1));
  return found < 0 ? countLevels.length - 1 : found;
}

/** What is known of the past: from `beginsAt` until `now`, in milliseconds since the epoch. */
export type Extent = { beginsAt: number; now: number };

/**
 * The milliseconds of which the bins that overlap a range can have counts: the whole bins, without
 * the time before the history begins and the time that is still to come. A rate is the counts over
 * this; 0 if nothing is known of the range.
 */
export function coveredMs(level: number, { from, to }: Range, { beginsAt, now }: Extent): number {
  const { binMs } = countLevels[level] as (typeof countLevels)[number];
  const first = Math.max(Math.floor(from / binMs) * binMs, beginsAt);
  const last = Math.min((Math.floor(to / binMs) + 1) * binMs, now);
  return Math.max(0, last - first);
}
