/**
 * Fixed tables of destinations: 8-way set-associative, like a CPU cache. A look-up and an eviction
 * touch eight entries for any key, so no app can slow them down by its choice of names.
 *
 * Eviction: the least recently used entry of the set goes, entries without open streams first.
 * While reports arrive, the count of this entry was acknowledged long before. If the count was not,
 * or if the entry has open streams, the total `lost` counts the eviction. An entry with an open
 * question stays, because streams wait for the answer.
 */

import { hash } from './bytes';
import { bump, LOST } from './totals';

// Kinds of destination, as in reports.
export const CLUSTER: u8 = 0;
export const HTTP_DESTINATION: u8 = 1;
export const TCP_DESTINATION: u8 = 2;

const WAYS: u32 = 8;

@unmanaged
export class Entry {
  /** 0 = free. */
  hash: u64;
  count: u64;
  /** Count in the report that is in flight. */
  reported: u64;
  acknowledged: u64;
  /** Larger = more recent. */
  used: u64;
  /** When the answer arrived, until when it is fresh, and until when not to ask again. */
  answeredAt: u64;
  freshUntil: u64;
  quietUntil: u64;
  /** Since when its routes name a missing cluster, and when that was last seen; see gap.ts. */
  gapSince: u64;
  missedAt: u64;
  key: usize;
  /** Room for SNI and, behind it, identities; 0 in a table without answers. */
  text: usize;
  keySize: u16;
  /** Where in the key the destination's ip:port starts. */
  destinationAt: u16;
  sniSize: u16;
  identitiesSize: u16;
  kind: u8;
  /** The last known answer; 0 = none yet. */
  strategy: u8;
  otherwise: u8;
  /** Number of the open question plus one; 0 = none. */
  question: u8;
  /** Streams to it that have not ended. */
  open: u32;
  /** When it last had the route of unknown destinations, which let the request pass. */
  passed: bool;
  /** Its last answer came with the mesh's retry policy. */
  retries: bool;
}

@unmanaged
export class Table {
  entries: usize;
  keys: usize;
  texts: usize;
  sets: u32;
  keyStride: u32;
  textStride: u32;
  clock: u64;
}

/**
 * 2,048 clusters: far more than a scoped proxy has, so that sets seldom fill before
 * acknowledgement.
 */
const CLUSTER_SETS: u32 = 256;
/**
 * A cluster name: `outbound|65535|subset|` (subset a label, 63) and a host name (253), rounded up.
 */
const CLUSTER_KEY: u32 = 352;
/** 512 unknown destinations at once; a crawler of more hosts asks again, a few ms each. */
const DESTINATION_SETS: u32 = 64;
/** An authority (512), NUL, ip:port (64), rounded up. */
const DESTINATION_KEY: u32 = 584;
export const MAX_SNI: u32 = 384;
export const MAX_IDENTITIES: u32 = 2048;
const TEXT: u32 = MAX_SNI + MAX_IDENTITIES;

/** Room for one Entry, rounded up. */
const ENTRY_SIZE: u32 = 112;

export const clusters = changetype<Table>(memory.data(48, 8));
export const destinations = changetype<Table>(memory.data(48, 8));

const CLUSTER_ENTRIES: usize = memory.data(CLUSTER_SETS * WAYS * ENTRY_SIZE, 16);
const CLUSTER_KEYS: usize = memory.data(CLUSTER_SETS * WAYS * CLUSTER_KEY, 16);
const DESTINATION_ENTRIES: usize = memory.data(DESTINATION_SETS * WAYS * ENTRY_SIZE, 16);
const DESTINATION_KEYS: usize = memory.data(DESTINATION_SETS * WAYS * DESTINATION_KEY, 16);
const DESTINATION_TEXTS: usize = memory.data(DESTINATION_SETS * WAYS * TEXT, 16);

lay(clusters, CLUSTER_ENTRIES, CLUSTER_KEYS, 0, CLUSTER_SETS, CLUSTER_KEY, 0);
lay(
  destinations,
  DESTINATION_ENTRIES,
  DESTINATION_KEYS,
  DESTINATION_TEXTS,
  DESTINATION_SETS,
  DESTINATION_KEY,
  TEXT,
);

function lay(
  table: Table,
  entries: usize,
  keys: usize,
  texts: usize,
  sets: u32,
  keyStride: u32,
  textStride: u32,
): void {
  table.entries = entries;
  table.keys = keys;
  table.texts = texts;
  table.sets = sets;
  table.keyStride = keyStride;
  table.textStride = textStride;
}

export function capacity(table: Table): u32 {
  return table.sets * WAYS;
}

export function entryAt(table: Table, index: u32): Entry {
  return changetype<Entry>(table.entries + index * ENTRY_SIZE);
}

/** The entry of this key. A new entry has the count 0. Null if there is no room. */
export function obtain(table: Table, kind: u8, key: usize, size: u32): Entry | null {
  if (size > table.keyStride) return null;
  const h = hash(key, size, kind);
  const first = ((<u32>h >> 1) % table.sets) * WAYS;
  for (let way: u32 = 0; way < WAYS; way++) {
    const entry = entryAt(table, first + way);
    if (entry.hash == h && entry.keySize == size && memory.compare(entry.key, key, size) == 0) {
      entry.used = ++table.clock;
      return entry;
    }
  }
  return claim(table, first, h, kind, key, size);
}

function claim(table: Table, first: u32, h: u64, kind: u8, key: usize, size: u32): Entry | null {
  const index = victim(table, first);
  if (index == NONE) return null;
  const entry = entryAt(table, index);
  if (entry.hash != 0 && (entry.count != entry.acknowledged || entry.open > 0)) bump(LOST);
  memory.fill(changetype<usize>(entry), 0, ENTRY_SIZE);
  entry.hash = h;
  entry.kind = kind;
  entry.key = table.keys + index * table.keyStride;
  entry.text = table.texts + index * table.textStride;
  entry.keySize = <u16>size;
  entry.used = ++table.clock;
  memory.copy(entry.key, key, size);
  return entry;
}

const NONE: u32 = 0xffffffff;
const IN_USE: u64 = 1 << 63;

/**
 * Index of a free entry, else of the least recently used one; NONE if all have an open question.
 */
function victim(table: Table, first: u32): u32 {
  let oldest = NONE;
  let oldestUsed = u64.MAX_VALUE;
  for (let way: u32 = 0; way < WAYS; way++) {
    const entry = entryAt(table, first + way);
    if (entry.hash == 0) return first + way;
    // An entry with open streams is evicted only if all entries have open streams.
    const used = entry.open > 0 ? entry.used | IN_USE : entry.used;
    if (entry.question != 0 || used >= oldestUsed) continue;
    oldest = first + way;
    oldestUsed = used;
  }
  return oldest;
}
