/**
 * IP addresses and CIDR blocks as 16 bytes; IPv4 is kept as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2).
 */

import { decimal, NOT_A_NUMBER } from './bytes';

/** Parses an IPv4 or IPv6 address into 16 bytes at `out`; false if it is not an address. */
export function parseAddress(at: usize, size: u32, out: usize): bool {
  return find(at, size, 0x3a) == size ? parseIpv4(at, size, out) : parseIpv6(at, size, out);
}

/**
 * Parses `address/bits` into 16 bytes at `out` and one byte for the bits; false if it is not a
 * block.
 */
export function parseCidr(at: usize, size: u32, out: usize): bool {
  const slash = find(at, size, 0x2f);
  if (slash == size || !parseAddress(at, slash, out)) return false;
  const bits = decimal(at + slash + 1, size - slash - 1);
  const isIpv4 = find(at, slash, 0x3a) == slash;
  if (bits == NOT_A_NUMBER || bits > (isIpv4 ? 32 : 128)) return false;
  store<u8>(out + 16, <u8>(isIpv4 ? bits + 96 : bits));
  return true;
}

export function isInside(address: usize, cidr: usize): bool {
  const bits = <u32>load<u8>(cidr + 16);
  const whole = bits >> 3;
  if (memory.compare(address, cidr, whole) != 0) return false;
  const rest = bits & 7;
  if (rest == 0) return true;
  return <u32>(load<u8>(address + whole) ^ load<u8>(cidr + whole)) >> (8 - rest) == 0;
}

/** Size of the address in `ip:port` without brackets; its start is at +1 if it is in brackets. */
export function hostSize(at: usize, size: u32): u32 {
  if (size > 0 && load<u8>(at) == 0x5b) {
    const close = find(at, size, 0x5d);
    return close == size ? 0 : close - 1;
  }
  return find(at, size, 0x3a);
}

/** Index of the first `byte`, or `size`. */
function find(at: usize, size: u32, byte: u32): u32 {
  let i: u32 = 0;
  while (i < size && load<u8>(at + i) != byte) i++;
  return i;
}

function parseIpv4(at: usize, size: u32, out: usize): bool {
  memory.fill(out, 0, 10);
  store<u16>(out + 10, 0xffff);
  let from: u32 = 0;
  for (let i: u32 = 0; i < 4; i++) {
    const length = find(at + from, size - from, 0x2e);
    const value = decimal(at + from, length);
    if (value > 255 || length > 3) return false;
    store<u8>(out + 12 + i, <u8>value);
    from += length;
    if (i == 3) break;
    if (from == size) return false;
    from++;
  }
  return from == size;
}

function parseIpv6(at: usize, size: u32, out: usize): bool {
  memory.fill(out, 0, 16);
  let groups: u32 = 0;
  let gapAt: u32 = 8;
  let from: u32 = 0;
  if (size >= 2 && load<u16>(at) == 0x3a3a) {
    gapAt = 0;
    from = 2;
  }
  while (from < size) {
    const length = find(at + from, size - from, 0x3a);
    const value = hexadecimal(at + from, length);
    if (value == NOT_A_NUMBER || groups == 8) return false;
    store<u16>(out + groups * 2, bswap<u16>(<u16>value));
    groups++;
    from += length;
    if (from == size) break;
    from++;
    if (from == size) return false;
    if (load<u8>(at + from) != 0x3a) continue;
    if (gapAt != 8) return false;
    gapAt = groups;
    from++;
  }
  if (gapAt == 8) return groups == 8;
  if (groups == 8) return false;
  const moved = (groups - gapAt) * 2;
  memory.copy(out + 16 - moved, out + gapAt * 2, moved);
  memory.fill(out + gapAt * 2, 0, 16 - moved - gapAt * 2);
  return true;
}

function hexadecimal(at: usize, size: u32): u32 {
  if (size == 0 || size > 4) return NOT_A_NUMBER;
  let value: u32 = 0;
  for (let i: u32 = 0; i < size; i++) {
    const c = <u32>load<u8>(at + i);
    const letter = (c | 0x20) - 0x61;
    const digit = c - 0x30 < 10 ? c - 0x30 : letter < 6 ? letter + 10 : 16;
    if (digit > 15) return NOT_A_NUMBER;
    value = (value << 4) | digit;
  }
  return value;
}
