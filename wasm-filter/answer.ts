/**
 * Answers of the node companion: reads an answer into a destination's entry, and says how long it
 * holds.
 */

import { CALL_RESPONSE_HEADERS, getHeader, gotAt, gotSize, SECOND } from './abi';
import { decimal, equals } from './bytes';
import * as names from './names';
import { takeRetries } from './retries';
import { Entry, MAX_IDENTITIES, MAX_SNI } from './table';

// Strategies, as kept in an entry.
export const UNANSWERED: u8 = 0;
export const PASSTHROUGH: u8 = 1;
export const GATEWAY: u8 = 2;
export const DIRECT: u8 = 3;
export const HOLD: u8 = 4;
/** Plain text, even if the outbound policy refuses unknown destinations. */
export const PLAIN: u8 = 5;

const MAX_TTL_SECONDS: u32 = 3600;
/**
 * After a question without an answer, the filter does not ask about the destination for this long.
 */
const QUIET: u64 = SECOND;

/** The answer being read, kept apart until all of it is valid. */
let strategy: u8 = UNANSWERED;
let otherwise: u8 = UNANSWERED;
let ttl: u32 = 0;

/** Whether the host holds an answer; Envoy's own 503 and 504 mean that no answer came. */
export function hasAnswer(): bool {
  return got(names.STATUS) && decimal(gotAt(), gotSize()) == 200;
}

/**
 * Reads the answer that the host holds into the entry. False if a header is missing, too long or
 * unknown; the entry then keeps its last answer, and the filter does not ask for a while.
 */
export function takeAnswer(entry: Entry, time: u64): bool {
  if (!readStrategies() || !readTtl() || !readTexts(entry)) {
    entry.quietUntil = time + QUIET;
    return false;
  }
  entry.strategy = strategy;
  entry.otherwise = otherwise;
  entry.retries = takeRetries();
  entry.answeredAt = time;
  entry.freshUntil = time + <u64>ttl * SECOND;
  entry.quietUntil = 0;
  return true;
}

export function missAnswer(entry: Entry, time: u64): void {
  entry.quietUntil = time + QUIET;
}

/**
 * Whether the answer may be used without asking again. A clock that jumped back ends the freshness.
 */
export function isFresh(entry: Entry, time: u64): bool {
  // A held request needs a companion that is alive now, so the filter asks each time before `hold`.
  if (entry.strategy == UNANSWERED || entry.strategy == HOLD) return false;
  return time >= entry.answeredAt && time < entry.freshUntil;
}

export function isQuiet(entry: Entry, time: u64): bool {
  return time < entry.quietUntil && entry.quietUntil - time <= QUIET;
}

function readStrategies(): bool {
  if (!got(names.X_STRATEGY)) return false;
  strategy = strategyOf(gotAt(), gotSize());
  otherwise = strategy;
  if (strategy != HOLD) return strategy != UNANSWERED;
  if (!got(names.X_OTHERWISE)) return false;
  otherwise = strategyOf(gotAt(), gotSize());
  return otherwise != UNANSWERED && otherwise != HOLD;
}

function strategyOf(at: usize, size: u32): u8 {
  if (equals(at, size, names.GATEWAY)) return GATEWAY;
  if (equals(at, size, names.DIRECT)) return DIRECT;
  if (equals(at, size, names.PASSTHROUGH)) return PASSTHROUGH;
  if (equals(at, size, names.PLAIN)) return PLAIN;
  return equals(at, size, names.HOLD) ? HOLD : UNANSWERED;
}

function readTtl(): bool {
  if (!got(names.X_TTL)) return false;
  ttl = decimal(gotAt(), gotSize());
  return ttl >= 1 && ttl <= MAX_TTL_SECONDS;
}

function readTexts(entry: Entry): bool {
  if (otherwise == PASSTHROUGH || otherwise == PLAIN) {
    entry.sniSize = 0;
    entry.identitiesSize = 0;
    return true;
  }
  if (!got(names.X_SNI) || gotSize() == 0 || gotSize() > MAX_SNI) return false;
  const sni = gotAt();
  const sniSize = gotSize();
  const hasIdentities = got(names.X_IDENTITIES);
  if (hasIdentities && gotSize() > MAX_IDENTITIES) return false;
  entry.sniSize = <u16>sniSize;
  entry.identitiesSize = <u16>(hasIdentities ? gotSize() : 0);
  memory.copy(entry.text, sni, sniSize);
  if (hasIdentities) memory.copy(entry.text + MAX_SNI, gotAt(), gotSize());
  return true;
}

function got(name: usize): bool {
  return getHeader(CALL_RESPONSE_HEADERS, name);
}
