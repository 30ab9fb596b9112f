/**
 * How long the routes of a destination have named a cluster that is not there. istiod sends clusters,
 * endpoints and routes one after the other, so that is a matter of milliseconds; where it lasts, a
 * VirtualService names what does not exist, and its 503 is what it says.
 */

import { SECOND } from './abi';
import { Entry } from './table';

/** Far above what a push takes on a busy machine, far below what a caller waits. */
const GAP: u64 = SECOND / 2;
/** A destination that was called and had its cluster for this long is out of the gap. */
const PAUSE_BETWEEN: u64 = 2 * SECOND;
/** A VirtualService is not rewritten more often than this; until then its 503 is let through at once. */
const LEFT_ALONE: u64 = 60 * SECOND;

/** Notes that the cluster is missing now; true when it has been for longer than any push takes. */
export function isLongGap(entry: Entry, time: u64): bool {
  // Unsigned: a clock that jumped back by more than that begins a new gap, as one that went on does.
  const isNew = time - entry.missedAt > PAUSE_BETWEEN && entry.missedAt - time > LEFT_ALONE;
  if (isNew) entry.gapSince = time;
  else if (time - entry.gapSince >= GAP) {
    if (time >= entry.missedAt) entry.missedAt = time + LEFT_ALONE;
    return true;
  }
  entry.missedAt = time;
  return false;
}
