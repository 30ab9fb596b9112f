/**
 * Scratch memory for one call into the filter: data that the host copies in and data that the
 * filter builds for the host. Every entry point resets the arena, so nothing is freed and nothing
 * outlives a call.
 */

/**
 * 64 KiB: one configuration, or one answer's headers, or an authority far above the 512 bytes in
 * use.
 */
const SIZE: u32 = 65536;
const ARENA: usize = memory.data(65536, 16);

let used: u32 = 0;

export function resetArena(): void {
  used = 0;
}

/** Marks the current end, so that `rewindArena` can free everything allocated later. */
export function markArena(): u32 {
  return used;
}

export function rewindArena(mark: u32): void {
  used = mark;
}

/** Address of `size` bytes, 16-byte aligned, or 0 if the arena has no room. */
export function allocate(size: u32): usize {
  // Compared before rounding up, which would wrap for sizes near 4 GiB.
  if (size > SIZE - used) return 0;
  const at = ARENA + used;
  used = min(SIZE, used + ((size + 15) & ~15));
  return at;
}
