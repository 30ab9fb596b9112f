/**
 * The mesh's retry policy. Answers bring it, the same for all hosts of a proxy, so the filter keeps
 * one: that of the newest answer that has any. A request carries it in headers that Envoy's router
 * removes before it sends the request (retry_state_impl.cc).
 */

import {
  CALL_RESPONSE_HEADERS,
  getHeader,
  gotAt,
  gotSize,
  REQUEST_HEADERS,
  replaceHeader,
} from './abi';
import { sizeOf, startsWith } from './bytes';
import * as names from './names';

/** Longest text of a part; the node companion sends no longer ones. */
const MAX_TEXT: u32 = 512;

// The parts of a policy; the last is the timeout of an attempt.
const ATTEMPTS: u32 = 0;
const ON: u32 = 1;
const GRPC_ON: u32 = 2;
const CODES: u32 = 3;
const PARTS: u32 = 5;

const TEXTS: usize = memory.data(PARTS * MAX_TEXT, 8);
const SIZES: usize = memory.data(PARTS * 4, 4);

/**
 * Reads the policy of the answer that the host holds. False if the answer has none, or one that is
 * too long; the request then keeps the retries of its route.
 */
export function takeRetries(): bool {
  if (!getHeader(CALL_RESPONSE_HEADERS, names.X_RETRIES)) return false;
  for (let part: u32 = 0; part < PARTS; part++) {
    const has = getHeader(CALL_RESPONSE_HEADERS, answerHeader(part));
    if (has && gotSize() > MAX_TEXT) return false;
    const size = has ? gotSize() : 0;
    if (size > 0) memory.copy(TEXTS + part * MAX_TEXT, gotAt(), size);
    store<u32>(SIZES + part * 4, size);
  }
  return true;
}

/**
 * Gives the current request the retries of its way. `hasPolicy`: its answer came with the policy.
 */
export function applyRetries(hasPolicy: bool, toGateway: bool): bool {
  const isGrpc = hasPolicy && hasPart(GRPC_ON) && isGrpcCall();
  // What a server answered is repeated as often as the policy says, and no more often.
  const repeatsAnswered = isGrpc || (hasPolicy && hasPart(ON));
  if (hasPolicy) {
    for (let part: u32 = 0; part < PARTS; part++) {
      if (part == GRPC_ON && !isGrpc) continue;
      if (hasPart(part) && !applyPart(part)) return false;
    }
  }
  if (!toGateway || repeatsAnswered) return true;
  return replaceHeader(names.MAX_RETRIES, names.GATEWAY_RETRIES, sizeOf(names.GATEWAY_RETRIES));
}

function hasPart(part: u32): bool {
  return load<u32>(SIZES + part * 4) > 0;
}

function applyPart(part: u32): bool {
  const size = load<u32>(SIZES + part * 4);
  return replaceHeader(requestHeader(part), TEXTS + part * MAX_TEXT, size);
}

function isGrpcCall(): bool {
  return (
    getHeader(REQUEST_HEADERS, names.CONTENT_TYPE) && startsWith(gotAt(), gotSize(), names.GRPC)
  );
}

function answerHeader(part: u32): usize {
  if (part == ATTEMPTS) return names.X_RETRIES;
  if (part == ON) return names.X_RETRY_ON;
  if (part == GRPC_ON) return names.X_RETRY_GRPC_ON;
  return part == CODES ? names.X_RETRY_CODES : names.X_RETRY_TIMEOUT;
}

function requestHeader(part: u32): usize {
  if (part == ATTEMPTS) return names.MAX_RETRIES;
  if (part == ON) return names.RETRY_ON;
  if (part == GRPC_ON) return names.RETRY_GRPC_ON;
  return part == CODES ? names.RETRIABLE_CODES : names.PER_TRY_TIMEOUT;
}
