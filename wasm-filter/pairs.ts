/**
 * Header pairs as the host reads them: count, sizes of each key and value, then the bytes with
 * NULs.
 */

import { sizeOf } from './bytes';

let start: usize = 0;
let made: u32 = 0;
let end: u32 = 0;

/** Begins `count` pairs at `at`; the caller provides the room. */
export function startPairs(at: usize, count: u32): void {
  start = at;
  made = 0;
  end = 4 + count * 8;
  store<u32>(at, count);
}

/** Appends a pair and returns the size of all so far. */
export function putPair(name: usize, value: usize, valueSize: u32): u32 {
  const sizes = start + 4 + made * 8;
  store<u32>(sizes, sizeOf(name));
  store<u32>(sizes, valueSize, 4);
  putText(name, sizeOf(name));
  putText(value, valueSize);
  made++;
  return end;
}

function putText(at: usize, size: u32): void {
  memory.copy(start + end, at, size);
  store<u8>(start + end + size, 0);
  end += size + 1;
}
