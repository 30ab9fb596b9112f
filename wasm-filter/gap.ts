/**
 * How long the routes of a destination have named a missing cluster. istiod sends clusters,
 * endpoints and routes one after the other, so a gap normally lasts milliseconds. A longer gap
 * means that a VirtualService names a cluster that does not exist, and Envoy's 503 is correct.
 */

import { SECOND } from './abi';
import { Entry } from './table';

/** Far longer than a push takes on a busy machine, shorter than a caller waits. */
const GAP: u64 = SECOND;
/** Misses further apart than this belong to different gaps: a held request returns every 50 ms. */
const APART: u64 = SECOND / 4;
/** A correct 503 passes at once for this long; then the filter checks again. */
const LEFT_ALONE: u64 = 10 * SECOND;

/** Whether the cluster was missing a moment ago. */
export function isInGap(entry: Entry, time: u64): bool {
  return time - entry.missedAt <= APART;
}

/**
 * Records that the cluster is missing now; true if it has been missing for longer than any push
 * takes.
 */
export function isLongGap(entry: Entry, time: u64): bool {
  // Unsigned: a clock that jumped back by more than this starts a new gap, as a clock that jumped
  // ahead does.
  const isNew = time - entry.missedAt > APART && entry.missedAt - time > LEFT_ALONE;
  if (isNew) entry.gapSince = time;
  else if (time - entry.gapSince >= GAP) {
    if (time >= entry.missedAt) entry.missedAt = time + LEFT_ALONE;
    return true;
  }
  entry.missedAt = time;
  return false;
}
