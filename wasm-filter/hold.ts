/**
 * Holds a request: the filter sends it to the node companion, which answers 307 once the scope
 * should be live. Envoy then replays the same request with the current routes. The start of the
 * hold and its rounds are kept in filter state that survives this internal redirect and that no app
 * can write.
 */

import {
  declareProperty,
  getProperty,
  gotAt,
  gotSize,
  OK,
  removeHeader,
  replaceHeader,
  SECOND,
  SPAN_REQUEST,
  setProperty,
} from './abi';
import { allocate } from './arena';
import { sizeOf } from './bytes';
import { holdSeconds } from './config';
import * as names from './names';
import { bump, ERRORS, HELD } from './totals';

/**
 * The companion takes about 50 ms a round, and the question before it a few more, so the time limit
 * ends a hold before this limit. At 10 s it stays below the 200 of the route's
 * max_internal_redirects, beyond which the app would see the 307.
 */
const ROUNDS_A_SECOND: u32 = 18;
/** Rounds that may return at once before the first wait. */
const SPARE_ROUNDS: u32 = 4;

/** The start of the hold, and its rounds. */
const STATE_SIZE: u32 = 12;
const ROUNDS_AT: usize = 8;

let declared: bool = true;

/**
 * Once per root context. Without the longer life span a loop could not be detected, so the filter
 * holds nothing.
 */
export function declareHoldState(): void {
  if (!declareProperty(names.HOLD_STATE, SPAN_REQUEST)) declared = false;
}

/** A held request that has not returned by then never will: its client is gone. */
const LOST_AFTER: u64 = 60 * SECOND;

/** Requests that are at the companion, and the time of the last one. */
let away: u32 = 0;
let lastAwayAt: u64 = 0;

/**
 * Whether the current request returns from a hold. The filter then removes the headers of the hold,
 * because Envoy redirects a request with the headers that it was sent with. It asks the host only
 * while some request is held, so that the path of known destinations needs only two property reads.
 */
export function comesBack(): bool {
  if (away == 0 || !wasHeld()) return false;
  away--;
  if (!removeHeader(names.X_DESTINATION) || !removeHeader(names.ORIGINAL_URL)) bump(ERRORS);
  return true;
}

export function forgetLostHolds(time: u64): void {
  if (time - lastAwayAt > LOST_AFTER) away = 0;
}

function wasHeld(): bool {
  return getProperty(names.HOLD_STATE) == OK && gotSize() == STATE_SIZE;
}

/**
 * Sends the current request to the companion for one round; false if its time or its rounds are
 * used up.
 */
export function hold(destination: usize, size: u32, time: u64): bool {
  if (!beginRound(time) || !replaceHeader(names.X_DESTINATION, destination, size)) return false;
  const cluster = names.HOLD_CLUSTER;
  if (!replaceHeader(names.X_CLUSTER, cluster, sizeOf(cluster))) return false;
  away++;
  lastAwayAt = time;
  bump(HELD);
  return true;
}

function beginRound(time: u64): bool {
  const limit = holdSeconds();
  if (!declared || time == 0 || limit == 0) return false;
  let since = time;
  let rounds: u32 = 0;
  if (wasHeld()) {
    since = load<u64>(gotAt());
    rounds = load<u32>(gotAt(), ROUNDS_AT);
  }
  // Unsigned: a clock that jumped back looks like a deadline long past.
  if (time - since >= <u64>limit * SECOND) return false;
  if (rounds >= limit * ROUNDS_A_SECOND + SPARE_ROUNDS) return false;
  const state = allocate(STATE_SIZE);
  if (state == 0) return false;
  store<u64>(state, since);
  store<u32>(state, rounds + 1, ROUNDS_AT);
  return setProperty(names.HOLD_STATE, state, STATE_SIZE);
}
