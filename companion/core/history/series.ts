import { decode, encode } from './sixteen.ts';

/**
 * Rows of numbers over time, each kept in several resolutions at once. A row takes a fixed amount
 * of memory, so the memory of a table is bounded by its rows.
 */

/** A resolution: `bins` values, each over `binMs`. */
export type Level = { binMs: number; bins: number };

const minute = 60_000;
const hour = 60 * minute;

/** 10 s for an hour, 5 min for a day, an hour for 14 days. */
export const countLevels: readonly Level[] = [
  { binMs: 10_000, bins: 360 },
  { binMs: 5 * minute, bins: 288 },
  { binMs: hour, bins: 336 },
];

/** Figures of proxies change slowly: 5 min for a day, an hour for 14 days. */
export const figureLevels: readonly Level[] = countLevels.slice(1);

/** `sum`: what was added within a bin. `last`: the last value of a bin. */
export type SeriesKind = 'sum' | 'last';

export type SeriesTable = {
  /** A free row, all zero; undefined when there are `rowsMax`. */
  open(): number | undefined;
  close(row: number): void;
  /**
   * `at`: milliseconds since the epoch. A time before the newest bin of the row counts into that
   * bin, so a clock that steps back loses nothing.
   */
  add(row: number, at: number, value: number): void;
  /** The bins of one level that overlap `from` to `to`, oldest first; empty ones are zero. */
  read(row: number, level: number, range: Range): number[];
  /** Everything of a row, for another replica. */
  pack(row: number): PackedLevel[];
  unpack(row: number, packed: readonly PackedLevel[]): void;
  bytes(): number;
};

/** Milliseconds since the epoch; both ends belong to it. */
export type Range = { from: number; to: number };

/**
 * The newest bin and its value; and the codes of the bins before it, oldest first, as base64 of
 * 16-bit numbers, the lower byte first. Empty bins at the beginning are left out.
 */
export type PackedLevel = { newest: number; open: number; closed: string };

/** Rows that are allocated together, so that a small mesh takes little memory. */
const rowsPerSlab = 128;

type Slab = { codes: Uint16Array; newest: Uint32Array; open: Float64Array };

type Table = {
  levels: readonly Level[];
  kind: SeriesKind;
  binsPerRow: number;
  slabs: Slab[];
};

export function createSeriesTable(
  levels: readonly Level[],
  kind: SeriesKind,
  rowsMax: number,
): SeriesTable {
  const binsPerRow = levels.reduce((sum, { bins }) => sum + bins, 0);
  const table: Table = { levels, kind, binsPerRow, slabs: [] };
  const free: number[] = [];
  let rows = 0;
  return {
    open() {
      const reused = free.pop();
      if (reused !== undefined) return reused;
      if (rows >= rowsMax) return undefined;
      if (rows % rowsPerSlab === 0) table.slabs.push(createSlab(binsPerRow, levels.length));
      rows += 1;
      return rows - 1;
    },
    close(row) {
      const { slab, at, levelsAt } = placeOf(table, row);
      slab.codes.fill(0, at, at + binsPerRow);
      slab.newest.fill(0, levelsAt, levelsAt + levels.length);
      slab.open.fill(0, levelsAt, levelsAt + levels.length);
      free.push(row);
    },
    add(row, at, value) {
      for (let level = 0; level < levels.length; level++) addTo(table, row, level, at, value);
    },
    read: (row, level, range) => read(table, row, level, range),
    pack: (row) => levels.map((_, level) => pack(table, row, level)),
    unpack(row, packed) {
      for (let level = 0; level < levels.length; level++) {
        const told = packed[level];
        if (told) unpack(table, row, level, told);
      }
    },
    bytes: () =>
      table.slabs.reduce(
        (sum, { codes, newest, open }) =>
          sum + codes.byteLength + newest.byteLength + open.byteLength,
        0,
      ),
  };
}

function createSlab(binsPerRow: number, levels: number): Slab {
  return {
    codes: new Uint16Array(rowsPerSlab * binsPerRow),
    newest: new Uint32Array(rowsPerSlab * levels),
    open: new Float64Array(rowsPerSlab * levels),
  };
}

/** Where a row is: its slab, its first code there, and its first entry in `newest` and `open`. */
function placeOf({ slabs, levels, binsPerRow }: Table, row: number) {
  const slab = slabs[Math.floor(row / rowsPerSlab)];
  if (!slab) throw new Error(`no row ${row}`);
  const inSlab = row % rowsPerSlab;
  return { slab, at: inSlab * binsPerRow, levelsAt: inSlab * levels.length };
}

function levelAt(table: Table, row: number, level: number) {
  const { slab, at, levelsAt } = placeOf(table, row);
  const { binMs, bins } = table.levels[level] as Level;
  const before = table.levels.slice(0, level).reduce((sum, each) => sum + each.bins, 0);
  return { slab, at: at + before, index: levelsAt + level, binMs, bins };
}

/** Bins are numbered from the epoch; the value of the newest is in `open`, not in `codes`. */
function addTo(table: Table, row: number, level: number, time: number, value: number): void {
  const { slab, at, index, binMs, bins } = levelAt(table, row, level);
  const { codes, newest, open } = slab;
  const before = newest[index] ?? 0;
  const bin = Math.max(before, Math.floor(time / binMs));
  if (bin > before) {
    if (before > 0) codes[at + (before % bins)] = encode(open[index] ?? 0);
    // What lies between was silent, whatever the ring still has there from its last turn.
    const silent = Math.min(bin - before - 1, bins);
    for (let n = 1; n <= silent; n++) codes[at + ((before + n) % bins)] = 0;
    newest[index] = bin;
    open[index] = 0;
  }
  open[index] = table.kind === 'sum' ? (open[index] ?? 0) + value : value;
}

function read(table: Table, row: number, level: number, { from, to }: Range): number[] {
  const { slab, at, index, binMs, bins } = levelAt(table, row, level);
  const newest = slab.newest[index] ?? 0;
  const last = Math.floor(to / binMs);
  // More than the ring has would repeat its values.
  const first = Math.max(Math.floor(from / binMs), last - bins + 1);
  const values: number[] = [];
  for (let bin = first; bin <= last; bin++) {
    if (bin === newest) values.push(slab.open[index] ?? 0);
    else if (bin > newest || bin <= newest - bins) values.push(0);
    else values.push(decode(slab.codes[at + (bin % bins)] ?? 0));
  }
  return values;
}

function pack(table: Table, row: number, level: number): PackedLevel {
  const { slab, at, index, bins } = levelAt(table, row, level);
  const newest = slab.newest[index] ?? 0;
  const codes: number[] = [];
  for (let bin = Math.max(0, newest - bins + 1); bin < newest; bin++) {
    const code = slab.codes[at + (bin % bins)] ?? 0;
    if (code > 0 || codes.length > 0) codes.push(code);
  }
  const bytes = Buffer.alloc(2 * codes.length);
  for (const [n, code] of codes.entries()) bytes.writeUInt16LE(code, 2 * n);
  return { newest, open: slab.open[index] ?? 0, closed: bytes.toString('base64') };
}

function unpack(table: Table, row: number, level: number, told: PackedLevel): void {
  const { slab, at, index, bins } = levelAt(table, row, level);
  slab.codes.fill(0, at, at + bins);
  slab.newest[index] = told.newest;
  slab.open[index] = told.open;
  const bytes = Buffer.from(told.closed, 'base64');
  const count = Math.min(Math.floor(bytes.length / 2), bins - 1, told.newest);
  for (let n = 1; n <= count; n++)
    slab.codes[at + ((told.newest - n) % bins)] = bytes.readUInt16LE(bytes.length - 2 * n);
}
