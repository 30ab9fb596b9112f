import type { Told } from '../../companion/core/history/changes.ts';
import type { Paint } from './table.ts';
import { tableOf } from './table.ts';

/** What the page's API of a controller says of the last minutes (docs/console.md). */
export type Heard = {
  topology: {
    now: number;
    covered: number;
    leftOut: number;
    edges: { namespace: string; workload: string; host: string; rate: number; lastAt: number }[];
  };
  changes: Told[];
};

export type Top = {
  /** Milliseconds since the epoch, by the clock of the controller. */
  now: number;
  /** Seconds over which rates are taken. */
  coveredSeconds: number;
  callsPerSecond: number;
  /** The edges with most calls first. */
  edges: { namespace: string; workload: string; host: string; callsPerSecond: number }[];
  /** Edges that the controller or `edgesMax` left out. */
  edgesLeftOut: number;
  /** By strategy, the most frequent first. */
  firstCalls: { strategy: string; calls: number; typicalMs?: number }[];
  /** What happened in the last minutes, newest first. */
  changes: (Told & { secondsAgo: number })[];
  changesLeftOut: number;
};

export type TopOptions = {
  namespace: string | undefined;
  /** How far back first calls and changes go, in milliseconds. */
  backMs: number;
};

/** Rows that fit on a screen; `-o json` has the same ones and says how many were left out. */
const edgesMax = 20;
const changesMax = 20;

/**
 * Milliseconds of a first call as a whole at p50, from the benchmark (README, "Measured"): no
 * controller measures calls. A warm call took `warmMs` there.
 */
export const typicalMs: Readonly<Record<string, number>> = {
  gateway: 9.5,
  direct: 8.7,
  hold: 176.1,
};
export const warmMs = 3.3;

export function topOf({ topology, changes }: Heard, { namespace, backMs }: TopOptions): Top {
  const { now } = topology;
  const within = changes.filter(
    (change) => change.at > now - backMs && (!namespace || change.namespace === namespace),
  );
  const counts = new Map<string, number>();
  for (const { kind, detail } of within)
    if (kind === 'first-call') counts.set(detail, (counts.get(detail) ?? 0) + 1);
  const newest = within
    .filter(({ kind }) => kind !== 'first-call')
    .sort((a, b) => b.at - a.at)
    .map((change) => ({ ...change, secondsAgo: Math.max(0, Math.round((now - change.at) / 1e3)) }));
  const edges = [...topology.edges].sort((a, b) => b.rate - a.rate);
  return {
    now,
    coveredSeconds: Math.round(topology.covered / 1e3),
    callsPerSecond: edges.reduce((sum, { rate }) => sum + rate, 0),
    edges: edges.slice(0, edgesMax).map(({ rate, namespace: of, workload, host }) => ({
      ...{ namespace: of, workload, host },
      callsPerSecond: rate,
    })),
    edgesLeftOut: Math.max(0, edges.length - edgesMax) + topology.leftOut,
    firstCalls: [...counts]
      .map(([strategy, calls]) => {
        const ms = typicalMs[strategy];
        return { strategy, calls, ...(ms !== undefined && { typicalMs: ms }) };
      })
      .sort((a, b) => b.calls - a.calls),
    changes: newest.slice(0, changesMax),
    changesLeftOut: Math.max(0, newest.length - changesMax),
  };
}

type View = { wide: boolean; paint: Paint };

/** `minutes`: how far back first calls and changes go. */
export function topText(top: Top, minutes: number, view: View): string {
  const { edges, firstCalls, changes, edgesLeftOut, changesLeftOut } = top;
  const rest = (count: number) => (count === 0 ? '' : `and ${count} more\n`);
  const parts = [
    `${top.callsPerSecond.toFixed(1)} calls/s over the last ${top.coveredSeconds} s\n`,
    edges.length === 0
      ? 'No calls were reported.\n'
      : tableOf(
          [
            { title: 'NAMESPACE', cell: (row) => row.namespace },
            { title: 'WORKLOAD', cell: (row) => row.workload },
            { title: 'HOST', cell: (row) => row.host },
            { title: 'CALLS/S', cell: (row) => row.callsPerSecond.toFixed(1) },
          ],
          edges,
          view,
        ) + rest(edgesLeftOut),
    firstCalls.length === 0
      ? `No first calls in the last ${minutes} min.\n`
      : tableOf(
          [
            { title: 'FIRST-CALLS', cell: (row) => row.strategy },
            { title: `IN-${minutes}-MIN`, cell: (row) => String(row.calls) },
            {
              title: 'TYPICAL-COST',
              cell: (row) =>
                row.typicalMs === undefined
                  ? ''
                  : `${row.typicalMs} ms (warm: ${warmMs.toFixed(1)} ms)`,
            },
          ],
          firstCalls,
          view,
        ),
    changes.length === 0
      ? `Nothing was learned, and nothing expired, in the last ${minutes} min.\n`
      : tableOf(
          [
            { title: 'AGO', cell: (row) => agoOf(row.secondsAgo) },
            { title: 'WHAT', cell: (row) => wordOf(row) },
            { title: 'NAMESPACE', cell: (row) => row.namespace },
            { title: 'WORKLOAD', cell: (row) => row.workload },
            { title: 'HOST', cell: (row) => row.host },
            { title: 'DETAIL', cell: (row) => detailOf(row) },
          ],
          changes,
          view,
        ) + rest(changesLeftOut),
  ];
  return parts.join('\n');
}

/** `45s`, `3m5s`. */
function agoOf(seconds: number): string {
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}

/** What the word of the change does not say already. */
function detailOf({ kind, detail }: Told): string {
  const isSaid =
    (kind === 'host-added' && detail === 'learned') || (kind === 'scoped' && detail === 'Enforced');
  return isSaid ? '' : detail;
}

/** A host that is there for another reason than calls was not learned, and does not expire. */
function wordOf({ kind, detail }: Told): string {
  if (kind === 'host-added') return detail === 'learned' ? 'learned' : 'added';
  if (kind === 'host-removed') return detail === 'learned' ? 'expired' : 'removed';
  return words[kind] ?? kind;
}

const words: Record<string, string> = {
  ...{ scoped: 'narrowed', unscoped: 'not narrowed', mode: 'mode' },
};
