/**
 * Holding a request: it goes to the node companion, which answers 307 once the scope should be live;
 * Envoy then runs the same request again from the start, with a fresh view of the routes. Since when and
 * how often is kept in filter state that outlives that internal redirect and that no app can write.
 */

import {
  declareProperty,
  getHeader,
  getProperty,
  gotAt,
  gotSize,
  REQUEST_HEADERS,
  SECOND,
  SPAN_REQUEST,
  setProperty,
} from './abi';
import { allocate } from './arena';
import { decimal, equals, startsWith } from './bytes';
import { holdSeconds } from './config';
import * as names from './names';

/** The companion buffers a held body; more than this it refuses. */
const MAX_BODY: u32 = 65536;
/** The companion takes about 50 ms a round, so this many rounds a second pass the deadline anyway. */
const ROUNDS_A_SECOND: u32 = 20;
/** Rounds that may come back at once before the first wait. */
const SPARE_ROUNDS: u32 = 4;

const STATE_SIZE: u32 = 12;

let declared: bool = true;

/** Once for every root context: without the longer life span a loop could not be seen, so none is begun. */
export function declareHoldState(): void {
  if (!declareProperty(names.HOLD_STATE, SPAN_REQUEST)) declared = false;
}

/** Whether the current request has been held before. */
export function wasHeld(): bool {
  return getProperty(names.HOLD_STATE) == 0 && gotSize() == STATE_SIZE;
}

/** Notes one more round for the current request; false when its time or its rounds are over. */
export function beginRound(time: u64): bool {
  const limit = holdSeconds();
  if (!declared || time == 0 || limit == 0) return false;
  let since = time;
  let rounds: u32 = 0;
  if (wasHeld()) {
    since = load<u64>(gotAt());
    rounds = load<u32>(gotAt(), 8);
  }
  if (time < since || time - since >= <u64>limit * SECOND) return false;
  if (rounds >= limit * ROUNDS_A_SECOND + SPARE_ROUNDS) return false;
  const state = allocate(STATE_SIZE);
  if (state == 0) return false;
  store<u64>(state, since);
  store<u32>(state, rounds + 1, 8);
  return setProperty(names.HOLD_STATE, state, STATE_SIZE);
}

/** Whether Envoy can replay the current request: complete or small, and neither tunnel nor gRPC stream. */
export function canBeHeld(endOfStream: bool): bool {
  if (!got(names.METHOD) || equals(gotAt(), gotSize(), names.CONNECT)) return false;
  if (got(names.UPGRADE)) return false;
  if (got(names.CONTENT_TYPE) && startsWith(gotAt(), gotSize(), names.GRPC)) return false;
  if (endOfStream) return true;
  return got(names.CONTENT_LENGTH) && decimal(gotAt(), gotSize()) <= MAX_BODY;
}

function got(name: usize): bool {
  return getHeader(REQUEST_HEADERS, name);
}
