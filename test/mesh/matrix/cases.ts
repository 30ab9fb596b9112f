import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { CallKind } from './calls.ts';
import type { DestinationKind } from './destinations.ts';
import type { PortName, ServerName } from './servers.ts';

type Row = {
  id: string;
  to: DestinationKind;
  call: CallKind;
  at?: ServerName[];
  port?: PortName;
  learns?: string | string[];
  full?: Answer | { any?: Answer; registry?: Answer };
  differs?: Difference;
  /** The same in a namespace without the filter. */
  byLog?: Difference;
  why: string;
};

/** The result of a call: success without an error, an HTTP status, or failure without a status. */
export type Answer = 'answered' | 'failed' | number;

/**
 * The result with full configuration in a namespace of clients (`matrix-any`, `matrix-registry`).
 */
export function fullAnswer({ full = 'answered' }: Pick<Row, 'full'>, namespace: string): Answer {
  if (typeof full !== 'object') return full;
  return (namespace.endsWith('-any') ? full.any : full.registry) ?? 'answered';
}

/** An expected difference from full configuration. A missing key stands for every value. */
export type Difference = {
  issue: string;
  state?: 'unknown' | 'known';
  clients?: string[];
  /** `outcome`: the result that the app sees. `path`: the time and the cluster of the call. */
  in?: 'outcome' | 'path';
};

/** A row with one of its servers. */
export type Case = Omit<Row, 'at'> & { on: ServerName; name: string; index: number; isTwin?: true };

type Table = Record<'destinations' | 'calls' | 'pairs', Row[]>;

/** Suffix of a case's second destination, which allows a second first call. */
export const twin = '-2';

/**
 * Returns every case of the table, each with its twin. `name` is unique and a valid Service name;
 * `index` is the position in the list.
 */
export function readCases(isByLog = false): Case[] {
  const text = readFileSync(join(import.meta.dirname, 'cases.yaml'), 'utf8');
  const { destinations, calls, pairs } = parse(text) as Table;
  const part = (prefix: string, rows: Row[]) =>
    rows.flatMap((row) => ofRow(prefix, isByLog ? withoutFilter(row) : row));
  const all = [...part('d', destinations), ...part('c', calls), ...part('p', pairs)];
  return all.flatMap((each, i) => [
    { ...each, index: 2 * i },
    { ...each, index: 2 * i + 1, name: `${each.name}${twin}`, isTwin: true },
  ]);
}

/** Differences of first calls that the filter decides about are not those of a scope without it. */
function withoutFilter({ differs, byLog, ...row }: Row): Row {
  const found = byLog ?? (differs?.state === 'unknown' ? undefined : differs);
  return { ...row, ...(found && { differs: found }) };
}

function ofRow(prefix: string, row: Row): Omit<Case, 'index'>[] {
  return (row.at ?? ['strict']).map((on) => ({
    ...row,
    on,
    name: `${prefix}-${row.id}${row.at ? `-${on}` : ''}`,
  }));
}
