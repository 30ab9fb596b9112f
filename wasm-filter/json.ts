/**
 * A cursor over JSON text (RFC 8259) that never allocates: enough for the small plugin
 * configuration. Strings are returned as they are between the quotes; a string with an escape
 * matches no known name.
 */

let at: usize = 0;
let end: usize = 0;
let broken: bool = false;

/** The last string or number read, as it stands in the text. */
let tokenAt: usize = 0;
let tokenSize: u32 = 0;

export function startJson(text: usize, size: u32): void {
  at = text;
  end = text + size;
  broken = false;
}

/** The text is not JSON. Every reader is a no-op from then on. */
export function isBroken(): bool {
  return broken;
}

export function atEnd(): bool {
  return peek() == 0;
}

export function textAt(): usize {
  return tokenAt;
}

export function textSize(): u32 {
  return tokenSize;
}

/** The next character that is not white space; 0 at the end or once broken. */
export function peek(): u32 {
  for (; at < end; at++) {
    const c = load<u8>(at);
    if (c != 0x20 && c != 0x0a && c != 0x0d && c != 0x09) return broken ? 0 : c;
  }
  return 0;
}

/** Consumes `character` if it is next. */
export function take(character: u32): bool {
  if (peek() != character) return false;
  at++;
  return true;
}

/** As `take`, but marks the text as broken if `character` is not next. */
export function need(character: u32): bool {
  if (take(character)) return true;
  broken = true;
  return false;
}

/** Reads a string; false (and nothing read) if the next value is not a string. */
export function takeString(): bool {
  if (!take(0x22)) return false;
  tokenAt = at;
  for (; at < end; at++) {
    const c = load<u8>(at);
    if (c == 0x5c) at++;
    else if (c == 0x22) {
      tokenSize = <u32>(at - tokenAt);
      at++;
      return true;
    }
  }
  broken = true;
  return false;
}

/** Reads a number, true, false or null as text; false if the next value is none of these. */
export function takeScalar(): bool {
  const first = peek();
  if (!isScalar(first)) return false;
  tokenAt = at;
  while (at < end && isScalar(load<u8>(at))) at++;
  tokenSize = <u32>(at - tokenAt);
  return true;
}

/** Letters, digits, `+`, `-` and `.`. */
function isScalar(c: u32): bool {
  const letter = (c | 0x20) - 0x61;
  return letter < 26 || c - 0x30 < 10 || c == 0x2b || c == 0x2d || c == 0x2e;
}

/**
 * Skips one value of any kind. Brackets are counted, not matched: a skipped value is not validated.
 */
export function skip(): void {
  let depth: u32 = 0;
  do {
    if (takeString() || takeScalar() || take(0x2c) || take(0x3a)) continue;
    if (take(0x7b) || take(0x5b)) depth++;
    else if (depth > 0 && (take(0x7d) || take(0x5d))) depth--;
    else broken = true;
  } while (depth > 0 && !broken);
}
