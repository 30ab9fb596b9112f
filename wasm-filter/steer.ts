/** Routes the current stream by the answer for its destination, or by the configured fallback. */

import { replaceHeader, SPAN_CONNECTION, SPAN_FILTER_CHAIN, setFilterState } from './abi';
import { DIRECT, GATEWAY, HOLD, PASSTHROUGH, PLAIN, UNANSWERED } from './answer';
import { sizeOf } from './bytes';
import { fallsBackToDirect } from './config';
import { isInGap } from './gap';
import { hold } from './hold';
import { isHoldable } from './holdable';
import * as names from './names';
import { applyRetries } from './retries';
import { Entry, MAX_SNI, TCP_DESTINATION } from './table';
import { bump, ERRORS, FALLBACKS, STALE } from './totals';

/**
 * Routes by the entry's answer. `confirmed`: the answer is fresh or has just arrived; otherwise it
 * is the last known answer. `endOfStream`: the request has no body.
 */
export function steer(entry: Entry, confirmed: bool, endOfStream: bool, time: u64): void {
  const isTcp = entry.kind == TCP_DESTINATION;
  const destination = entry.key + entry.destinationAt;
  const destinationSize = <u32>entry.keySize - entry.destinationAt;
  if (entry.strategy == UNANSWERED) {
    fallBack(isTcp, destination, destinationSize);
    return;
  }
  if (!confirmed) bump(STALE);
  let strategy = entry.strategy;
  if (strategy == HOLD) {
    const held = confirmed && !isTcp && isHoldable(endOfStream);
    if (held && hold(destination, destinationSize, time)) return;
    strategy = entry.otherwise;
  }
  // Without a marker, the stream would meet the route of a host that is being added or removed,
  // whose cluster is missing, although it passed a moment ago. Only if it did pass: REGISTRY_ONLY
  // stays closed.
  if (strategy == PASSTHROUGH && entry.passed && isInGap(entry, time)) strategy = PLAIN;
  apply(strategy, isTcp, entry);
}

/** Routes a stream whose destination has no answer, or no room in the tables. */
export function fallBack(isTcp: bool, destination: usize, size: u32): void {
  bump(FALLBACKS);
  const strategy = fallsBackToDirect(isTcp, destination, size) ? DIRECT : PASSTHROUGH;
  apply(strategy, isTcp, null);
}

function apply(strategy: u8, isTcp: bool, entry: Entry | null): void {
  if (strategy == PASSTHROUGH) return;
  let cluster = names.DIRECT_CLUSTER;
  if (strategy == GATEWAY) cluster = names.EGRESS_CLUSTER;
  // istiod sends this cluster to every sidecar, also under REGISTRY_ONLY.
  else if (strategy == PLAIN) cluster = names.PASSTHROUGH_CLUSTER;
  const hasPolicy = entry !== null && entry.retries;
  if (!isTcp && !applyRetries(hasPolicy, strategy == GATEWAY)) bump(ERRORS);
  // The cluster comes last: if an earlier step fails, the stream continues unchanged.
  if (entry !== null && !applyTexts(entry, isTcp)) bump(ERRORS);
  else if (!applyCluster(cluster, isTcp)) bump(ERRORS);
}

/**
 * For HTTP the filter chain's span, because the next request on the same connection has another
 * destination. For TCP the connection's span, the only one.
 */
function applyTexts(entry: Entry, isTcp: bool): bool {
  const span = isTcp ? SPAN_CONNECTION : SPAN_FILTER_CHAIN;
  const identities = entry.text + MAX_SNI;
  return (
    (entry.sniSize == 0 ||
      setFilterState(names.UPSTREAM_SERVER_NAME, entry.text, entry.sniSize, span)) &&
    (entry.identitiesSize == 0 ||
      setFilterState(names.UPSTREAM_IDENTITIES, identities, entry.identitiesSize, span))
  );
}

function applyCluster(cluster: usize, isTcp: bool): bool {
  return isTcp
    ? setFilterState(names.TCP_PROXY_CLUSTER, cluster, sizeOf(cluster), SPAN_CONNECTION)
    : replaceHeader(names.X_CLUSTER, cluster, sizeOf(cluster));
}
