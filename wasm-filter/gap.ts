/**
 * How long the routes of a destination have named a cluster that is not there. istiod sends
 * clusters, endpoints and routes one after the other, so that is a matter of milliseconds; where it
 * lasts, a VirtualService names what does not exist, and its 503 is what it says.
 */

import { SECOND } from './abi';
import { Entry } from './table';

/** Far longer than a push takes on a busy machine, shorter than a caller waits. */
const GAP: u64 = SECOND;
/** Misses further apart than this belong to different gaps: a held request returns every 50 ms. */
const APART: u64 = SECOND / 4;
/**
 * How long a 503 that is meant is let through at once, until it is asked again whether it still is.
 */
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
  // Unsigned: a clock that jumped back by more than that begins a new gap, as one that went on
  // does.
  const isNew = time - entry.missedAt > APART && entry.missedAt - time > LEFT_ALONE;
  if (isNew) entry.gapSince = time;
  else if (time - entry.gapSince >= GAP) {
    if (time >= entry.missedAt) entry.missedAt = time + LEFT_ALONE;
    return true;
  }
  entry.missedAt = time;
  return false;
}
