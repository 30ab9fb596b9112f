/**
 * Whether Envoy can replay a request after a redirect to its own URL. If it could not, the app
 * would receive the companion's 307, which it must never see.
 */

import { getHeader, gotAt, gotSize, REQUEST_HEADERS } from './abi';
import { hostSize, parseAddress } from './address';
import { allocate } from './arena';
import { decimal, isWordOf, startsWith } from './bytes';
import {
  AUTHORITY,
  CONTENT_LENGTH,
  CONTENT_TYPE,
  GRPC,
  HELD_METHODS,
  METHOD,
  PATH,
  TRAILER,
  UPGRADE,
} from './names';

/** The companion reads a held body to its end and refuses more than this. */
const MAX_BODY: u32 = 65536;

/**
 * Judges the current request: complete or small, neither tunnel nor gRPC stream, of a method that
 * the companion can read, and its URL plain. Envoy runs a request again without its trailers.
 */
export function isHoldable(endOfStream: bool): bool {
  if (!got(METHOD) || !isWordOf(HELD_METHODS, gotAt(), gotSize())) return false;
  if (got(UPGRADE) || got(TRAILER)) return false;
  if (got(CONTENT_TYPE) && startsWith(gotAt(), gotSize(), GRPC)) return false;
  if (!endOfStream && !(got(CONTENT_LENGTH) && decimal(gotAt(), gotSize()) <= MAX_BODY))
    return false;
  if (!got(AUTHORITY) || !isPlainAuthority(gotAt(), gotSize())) return false;
  return got(PATH) && isPlainPath(gotAt(), gotSize());
}

/**
 * Host name or address, optionally with a port. Envoy's URL parser accepts less than its Host
 * header: it refuses `_` and drops user info (tested on 1.40, character by character).
 */
function isPlainAuthority(at: usize, size: u32): bool {
  if (size == 0) return false;
  const inner = hostSize(at, size);
  let end = inner;
  if (load<u8>(at) == 0x5b) {
    const address = allocate(16);
    if (address == 0 || !parseAddress(at + 1, inner, address)) return false;
    end = inner + 2;
  } else if (!isHostName(at, inner)) return false;
  if (end == size) return true;
  const port = decimal(at + end + 1, size - end - 1);
  return load<u8>(at + end) == 0x3a && port >= 1 && port <= 65535;
}

function isHostName(at: usize, size: u32): bool {
  for (let i: u32 = 0; i < size; i++) {
    const c = <u32>load<u8>(at + i);
    const isLetter = (c | 0x20) - 0x61 < 26;
    const isDigit = c - 0x30 < 10;
    if (!isLetter && !isDigit && c != 0x2d && c != 0x2e) return false;
  }
  return size > 0;
}

/** Starts with a slash; visible ASCII without the fragment's `#`. */
function isPlainPath(at: usize, size: u32): bool {
  for (let i: u32 = 0; i < size; i++) {
    const c = load<u8>(at + i);
    if (c < 0x21 || c > 0x7e || c == 0x23) return false;
  }
  return size > 0 && load<u8>(at) == 0x2f;
}

function got(name: usize): bool {
  return getHeader(REQUEST_HEADERS, name);
}
