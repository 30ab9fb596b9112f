/** Counters of this VM since it started; every report carries them all, in this order. */

/** Requests seen; a held request counts again when it returns. */
export const REQUESTS: u32 = 0;
/** TCP connections seen. */
export const CONNECTIONS: u32 = 1;
/** Questions sent to the node companion. */
export const ASKED: u32 = 2;
/** Questions that got a usable answer. */
export const ANSWERED: u32 = 3;
/** Requests and connections served by an answer that was not confirmed. */
export const STALE: u32 = 4;
/** Requests and connections served by the configured fallback. */
export const FALLBACKS: u32 = 5;
/** Rounds in which a request was held. */
export const HELD: u32 = 6;
/**
 * Requests and connections that found a bound reached: questions, waiters, destinations or key
 * size.
 */
export const OVERFLOW: u32 = 7;
/** Host functions that failed unexpectedly, and unusable answers. */
export const ERRORS: u32 = 8;
/** Configuration keys whose value was refused. */
export const REFUSED_KEYS: u32 = 9;
/** Destinations evicted before their count was acknowledged, or while streams to them are open. */
export const LOST: u32 = 10;

export const TOTALS_COUNT: u32 = 11;

const TOTALS: usize = memory.data(88, 8);

export function bump(total: u32): void {
  const at = TOTALS + (total << 3);
  store<u64>(at, load<u64>(at) + 1);
}

export function copyTotals(to: usize): void {
  memory.copy(to, TOTALS, TOTALS_COUNT << 3);
}
