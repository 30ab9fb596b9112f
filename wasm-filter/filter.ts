/** Handles requests and connections: counts known destinations, asks about unknown ones. */

import {
  CONTINUE,
  getHeader,
  getProperty,
  gotAt,
  gotSize,
  NOT_FOUND,
  now,
  OK,
  PAUSE,
  REQUEST_HEADERS,
} from './abi';
import { isFresh, isQuiet } from './answer';
import { allocate } from './arena';
import { equals } from './bytes';
import { isLongGap } from './gap';
import { comesBack, hold } from './hold';
import { isHoldable } from './holdable';
import {
  ALLOW_ANY,
  ALLOW_ANY_DYNAMIC_DNS,
  AUTHORITY,
  BLACK_HOLE_CLUSTER,
  BLOCK_ALL,
  CATCH_ALL_CHAIN,
  CLUSTER_NAME,
  DESTINATION_ADDRESS,
  DYNAMIC_DNS_CLUSTER,
  FILTER_CHAIN_NAME,
  PASSTHROUGH_CHAIN,
  PASSTHROUGH_CLUSTER,
  ROUTE_ANSWERS,
  ROUTE_METADATA,
  VIRTUAL_HOST_NAME,
} from './names';
import { follow } from './open';
import { wait } from './question';
import { companionLives, reportSoon } from './report';
import { fallBack, steer } from './steer';
import {
  CLUSTER,
  clusters,
  destinations,
  Entry,
  HTTP_DESTINATION,
  obtain,
  TCP_DESTINATION,
} from './table';
import { bump, CONNECTIONS, ERRORS, OVERFLOW, REQUESTS } from './totals';

/** RFC 9110 sets no limit; a DNS name has 253 bytes, so this leaves room for user info and port. */
const MAX_AUTHORITY: u32 = 512;
/** `[` IPv6 with zone `]:65535`. */
const MAX_DESTINATION: u32 = 64;

export function onRequest(stream: u32, endOfStream: bool): u32 {
  bump(REQUESTS);
  const hasHost = getProperty(VIRTUAL_HOST_NAME) == OK && gotSize() > 0;
  // The route may have any cluster: that of an egressProxy, or none under REGISTRY_ONLY, which
  // answers 502.
  const isUnknown =
    hasHost && (isOneOf(ALLOW_ANY, BLOCK_ALL) || equals(gotAt(), gotSize(), ALLOW_ANY_DYNAMIC_DNS));
  const result = getProperty(CLUSTER_NAME);
  if (result == OK && gotSize() > 0) {
    const passes = equals(gotAt(), gotSize(), PASSTHROUGH_CLUSTER);
    if (isUnknown || passes || isOneOf(BLACK_HOLE_CLUSTER, DYNAMIC_DNS_CLUSTER))
      return unknownRequest(stream, endOfStream, passes);
    count(stream, gotAt(), gotSize());
    comesBack();
    return CONTINUE;
  }
  if (result != OK && result != NOT_FOUND) bump(ERRORS);
  else if (isUnknown) return unknownRequest(stream, endOfStream, false);
  else if (hasHost) return bridge(stream, endOfStream);
  return CONTINUE;
}

/**
 * The route of a known host names a cluster that does not exist: istiod has just removed the
 * cluster before the route, or added the route before the cluster (both for a few milliseconds),
 * and Envoy would answer 503. So the filter sends the request through the companion, and the
 * request meets the current routes and clusters. A request that cannot be held is routed like a
 * first call. This does not apply to a route that answers by itself, a redirect or a direct
 * response of a VirtualService, nor to a request that no route matches, which Envoy answers with
 * 404: the host counts as used, by the name that was called.
 */
function bridge(stream: u32, endOfStream: bool): u32 {
  const returned = comesBack();
  const answers =
    getProperty(ROUTE_METADATA) == NOT_FOUND || getProperty(ROUTE_ANSWERS) != NOT_FOUND;
  if (!getDestination()) return CONTINUE;
  const destination = gotAt();
  const size = gotSize();
  const time = now();
  const entry = entryOfRequest(destination, size);
  if (entry !== null && answers) {
    use(stream, entry, returned);
    return CONTINUE;
  }
  if (entry === null || isLongGap(entry, time)) return CONTINUE;
  if (isHoldable(endOfStream) && companionLives(time) && hold(destination, size, time))
    return CONTINUE;
  use(stream, entry, returned);
  return proceed(entry, stream, endOfStream);
}

function isOneOf(one: usize, other: usize): bool {
  return equals(gotAt(), gotSize(), one) || equals(gotAt(), gotSize(), other);
}

/** The hot path: one look-up, one addition. */
function count(stream: u32, cluster: usize, size: u32): void {
  const entry = obtain(clusters, CLUSTER, cluster, size);
  if (entry === null) bump(OVERFLOW);
  else seen(stream, entry);
}

function unknownRequest(stream: u32, endOfStream: bool, passes: bool): u32 {
  if (!getDestination()) return CONTINUE;
  const destination = gotAt();
  const size = gotSize();
  const returned = comesBack();
  const entry = entryOfRequest(destination, size);
  if (entry === null) {
    bump(OVERFLOW);
    fallBack(false, destination, size);
    return CONTINUE;
  }
  entry.passed = passes;
  use(stream, entry, returned);
  return proceed(entry, stream, endOfStream);
}

/**
 * The entry of authority and destination; null if the authority is missing or too long, or the
 * table is full.
 */
function entryOfRequest(destination: usize, destinationSize: u32): Entry | null {
  // An authority too large for the arena fails here; one that is only too long fails below.
  if (!getHeader(REQUEST_HEADERS, AUTHORITY)) return null;
  const size = gotSize();
  if (size == 0 || size > MAX_AUTHORITY) return null;
  const keySize = size + 1 + destinationSize;
  const key = allocate(keySize);
  if (key == 0) return null;
  memory.copy(key, gotAt(), size);
  store<u8>(key + size, 0);
  memory.copy(key + size + 1, destination, destinationSize);
  const entry = obtain(destinations, HTTP_DESTINATION, key, keySize);
  if (entry !== null) entry.destinationAt = <u16>(size + 1);
  return entry;
}

/**
 * The filter is in every TCP chain. If Istio knows the destination, the filter counts the
 * connection by its address and lets it continue.
 */
export function onConnection(stream: u32): u32 {
  bump(CONNECTIONS);
  const isKnown =
    getProperty(FILTER_CHAIN_NAME) != OK || !isOneOf(CATCH_ALL_CHAIN, PASSTHROUGH_CHAIN);
  if (!getDestination()) return CONTINUE;
  const destination = gotAt();
  const size = gotSize();
  const entry = obtain(destinations, TCP_DESTINATION, destination, size);
  if (entry === null) {
    bump(OVERFLOW);
    if (!isKnown) fallBack(true, destination, size);
    return CONTINUE;
  }
  seen(stream, entry);
  if (isKnown) return CONTINUE;
  return proceed(entry, stream, false);
}

function getDestination(): bool {
  if (getProperty(DESTINATION_ADDRESS) == OK && gotSize() > 0 && gotSize() <= MAX_DESTINATION) {
    return true;
  }
  bump(ERRORS);
  return false;
}

function seen(stream: u32, entry: Entry): void {
  use(stream, entry, false);
}

/**
 * A request that comes back from a hold is the same request, so it counts once; but it is another
 * stream, and may stay open for days.
 */
function use(stream: u32, entry: Entry, returned: bool): void {
  follow(stream, entry);
  if (!returned && entry.count++ == 0) reportSoon();
}

function proceed(entry: Entry, stream: u32, endOfStream: bool): u32 {
  const time = now();
  if (isFresh(entry, time)) {
    steer(entry, true, endOfStream, time);
    return CONTINUE;
  }
  if (!isQuiet(entry, time) && wait(entry, stream, endOfStream, time)) return PAUSE;
  steer(entry, false, endOfStream, time);
  return CONTINUE;
}
