import type { LearningSource } from '../core/scope/source.ts';
import {
  type EdgeName,
  makeRoom,
  type ObservedProxy,
  proxyOf,
  type Records,
  useDestination,
} from './observed.ts';
import type { Pod } from './pods.ts';

/**
 * What the access log of a proxy says. A filter repeats its counts until they are acknowledged; an
 * entry of a log that is lost is lost. So it is known for each proxy since when nothing was lost.
 */

/** Uses of destinations by their key; `calls` may be 0. */
export type LoggedUses = ReadonlyMap<string, { edge: EdgeName; calls: number }>;

/** An entry or a health check, or a stream that opened or ended. */
export type LogSign = 'heard' | 'opened' | 'ended';

/** The life of the source in force: for a filter, nothing is lost. */
export type Life = {
  source: LearningSource;
  heardAt: number | undefined;
  unbrokenSince?: number | undefined;
};

/**
 * Envoy checks the health of its companion every 30 s (docs/access-log.md). If two checks did not
 * come and no stream was open, Envoy may have lost entries.
 */
const brokenMs = 65_000;

export function recordLog(state: Records, pod: Pod, uses: LoggedUses): boolean {
  const at = state.now();
  const proxy = proxyOf(state, pod);
  const isCounted = countsLog(state, proxy);
  let isNew = heardLog(state, pod);
  for (const [key, { edge, calls }] of uses) {
    const room = { isNew: !proxy.destinations.has(key), at };
    if (!makeRoom(state, proxy, key, room)) continue;
    // The filter of the proxy counts the same calls while the source is wasm.
    const use = { key, edge, more: isCounted ? calls : 0, inherited: 0 };
    if (useDestination(proxy, use, at)) isNew = true;
  }
  return isNew;
}

export function heardLog(state: Records, pod: Pod, sign: LogSign = 'heard'): boolean {
  const at = state.now();
  const proxy = proxyOf(state, pod);
  const known = proxy.log;
  const log = known ?? { heardAt: at, unbrokenSince: at, streams: 0, dropped: 0 };
  proxy.log = log;
  if (log.streams === 0 && at - log.heardAt > brokenMs) missedLog(state, proxy, 'silence');
  log.heardAt = at;
  if (sign === 'opened') log.streams += 1;
  if (sign === 'ended') {
    log.streams = Math.max(0, log.streams - 1);
    // Envoy drops what it had buffered for this stream, at most a second.
    missedLog(state, proxy, 'stream');
  }
  if (!known) proxy.version += 1;
  return !known;
}

export function missedLog(state: Records, proxy: ObservedProxy, reason: string): void {
  if (!proxy.log) return;
  proxy.log.unbrokenSince = state.now();
  state.metrics.logGaps.inc({ reason });
}

/** A smaller number is that of an Envoy that started again, with its own loss. */
export function noteDropped(state: Records, proxy: ObservedProxy, dropped: number): void {
  if (!proxy.log || dropped === proxy.log.dropped) return;
  proxy.log.dropped = dropped;
  if (dropped > 0) missedLog(state, proxy, 'envoy');
}

export function lifeOf(state: Records, proxy: ObservedProxy): Life {
  const { log } = proxy;
  if (!countsLog(state, proxy)) return { source: 'wasm', heardAt: proxy.heardAt };
  const heardAt = log && log.streams > 0 ? state.now() : log?.heardAt;
  return { source: 'access-log', heardAt, unbrokenSince: log?.unbrokenSince };
}

/** Without a source in force, the log counts if it is all that there is. */
function countsLog(state: Records, { pod, log, filterVersion }: ObservedProxy): boolean {
  const source = state.sourceOf(pod);
  return source === undefined ? log !== undefined && filterVersion === '' : source === 'access-log';
}
