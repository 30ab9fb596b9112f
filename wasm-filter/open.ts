/**
 * Destinations in use for as long as a stream lasts. A connection, a WebSocket or a gRPC stream may
 * be silent for days, and its destination must not count as unused.
 *
 * A set-associative table from stream to entry. If the set of a stream is full, a stream gives way
 * whose destination has others: each destination needs only one stream that is followed. If there
 * is none, `lost` counts it, and the controller lets nothing expire for a while.
 */

import { SECOND } from './abi';
import { Entry } from './table';
import { bump, LOST } from './totals';

/** 4,096 streams at once in one worker, more than a proxy with the usual two workers has. */
const SETS: u32 = 512;
const WAYS: u32 = 8;
/** Room for one Slot. */
const SLOT_SIZE: u32 = 12;

@unmanaged
class Slot {
  /** 0 = free. */
  stream: u32;
  entry: usize;
  /** Identifies the destination, to detect that the entry now holds another one. */
  check: u32;
}

const SLOTS: usize = memory.data(SETS * WAYS * SLOT_SIZE, 16);

/** Envoy numbers contexts one by one, so the low bits spread them evenly. */
function slotOf(stream: u32, way: u32): Slot {
  return changetype<Slot>(SLOTS + ((stream % SETS) * WAYS + way) * SLOT_SIZE);
}

export function follow(stream: u32, entry: Entry): void {
  for (let way: u32 = 0; way < WAYS; way++) {
    const slot = slotOf(stream, way);
    if (slot.stream == 0) return fill(slot, stream, entry);
  }
  if (entry.open > 0) return;
  for (let way: u32 = 0; way < WAYS; way++) {
    const slot = slotOf(stream, way);
    const other = changetype<Entry>(slot.entry);
    // The entry may hold another destination by now; then the stream stands for nothing.
    const isMeant = <u32>other.hash == slot.check;
    if (isMeant && other.open < 2) continue;
    if (isMeant) other.open--;
    return fill(slot, stream, entry);
  }
  bump(LOST);
}

function fill(slot: Slot, stream: u32, entry: Entry): void {
  slot.stream = stream;
  slot.entry = changetype<usize>(entry);
  slot.check = <u32>entry.hash;
  entry.open++;
}

export function leave(stream: u32): void {
  for (let way: u32 = 0; way < WAYS; way++) {
    const slot = slotOf(stream, way);
    if (slot.stream != stream) continue;
    slot.stream = 0;
    const entry = changetype<Entry>(slot.entry);
    if (<u32>entry.hash == slot.check && entry.open > 0) entry.open--;
    return;
  }
}

/**
 * How often open streams are reported: far below any time after which a destination counts as
 * unused.
 */
const EVERY: u64 = 60 * SECOND;
let toldAt: u64 = 0;

/** Whether to report the destinations of open streams again now. */
export function tellsOpen(time: u64): bool {
  if (time >= toldAt && time - toldAt < EVERY) return false;
  toldAt = time;
  return true;
}
