/** Byte strings: literals, comparing, hashing, decimal numbers. */

/** Room for every literal with its size in front; a test adds them up. */
const LITERALS: usize = memory.data(4096, 4);

let literalsUsed: u32 = 0;

/**
 * Address of `text` as static ASCII bytes; `sizeOf` gives its size. Only for module-level
 * constants.
 */
export function ascii(text: string): usize {
  const size = <u32>text.length;
  const at = LITERALS + literalsUsed + 4;
  literalsUsed += (size + 7) & ~3;
  store<u32>(at - 4, size);
  String.UTF8.encodeUnsafe(changetype<usize>(text), size, at);
  return at;
}

/** Size in bytes of a literal made by `ascii`. */
export function sizeOf(literal: usize): u32 {
  return load<u32>(literal - 4);
}

export function equals(at: usize, size: u32, literal: usize): bool {
  return size == sizeOf(literal) && memory.compare(at, literal, size) == 0;
}

export function startsWith(at: usize, size: u32, literal: usize): bool {
  const prefix = sizeOf(literal);
  return size >= prefix && memory.compare(at, literal, prefix) == 0;
}

/**
 * Whether the bytes are one of the words of a literal that has a space before and after each.
 */
export function isWordOf(literal: usize, at: usize, size: u32): bool {
  for (let i: u32 = 0; i + size + 2 <= sizeOf(literal); i++) {
    if (load<u8>(literal + i) != 0x20 || load<u8>(literal + i + size + 1) != 0x20) continue;
    if (size > 0 && memory.compare(literal + i + 1, at, size) == 0) return true;
  }
  return false;
}

/**
 * 64-bit hash, eight bytes a step; never 0. Keys are compared too, so it needs spread, not secrecy.
 */
export function hash(at: usize, size: u32, seed: u64): u64 {
  let h: u64 = (seed + 1) * 0x9e3779b97f4a7c15 + size;
  let i: u32 = 0;
  for (; i + 8 <= size; i += 8) h = mix(h ^ load<u64>(at + i));
  let tail: u64 = 0;
  for (let shift: u64 = 0; i < size; i++, shift += 8) tail |= (<u64>load<u8>(at + i)) << shift;
  return mix(h ^ tail) | 1;
}

/** Finaliser of SplitMix64 (Steele, Lea, Flood 2014). */
function mix(value: u64): u64 {
  let x = value;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

export const NOT_A_NUMBER: u32 = 0xffffffff;

/** Writes a number of at most 10 digits at `at`; returns how many it has. */
export function putDecimal(at: usize, value: u32): u32 {
  let size: u32 = 1;
  for (let rest = value / 10; rest > 0; rest /= 10) size++;
  let rest = value;
  for (let i = size; i > 0; i--) {
    store<u8>(at + i - 1, <u8>(0x30 + (rest % 10)));
    rest /= 10;
  }
  return size;
}

/** Value of 1 to 9 ASCII digits, else NOT_A_NUMBER. */
export function decimal(at: usize, size: u32): u32 {
  if (size == 0 || size > 9) return NOT_A_NUMBER;
  let value: u32 = 0;
  for (let i: u32 = 0; i < size; i++) {
    const digit = <u32>load<u8>(at + i) - 0x30;
    if (digit > 9) return NOT_A_NUMBER;
    value = value * 10 + digit;
  }
  return value;
}
