import type { IncomingMessage } from 'node:http';
import { json } from 'node:stream/consumers';
import type { Logger } from 'pino';
import { createBackoff, pause } from '../bounds/backoff.ts';
import { messageOf } from '../frame/errors.ts';
import { type Known, keyOf, trackKnown } from './known.ts';
import {
  isKubeError,
  type KubeObject,
  type Resource,
  type Watch,
  type WatchHandler,
} from './object.ts';
import type { Send } from './request.ts';

/**
 * One list and watch that recovers by itself. The API server ends watches, forgets old resource
 * versions (410), restarts, and refuses expired tokens. Each of these leads back to a watch,
 * through a new list if events may have been lost.
 */

/**
 * Page size of a list: large enough for few requests, small enough to parse within milliseconds.
 * The two controllers list this way, at a version that is current; Kubernetes 1.34 and later answer
 * from the watch cache (apiserver pkg/storage/cacher/delegator), earlier ones read etcd.
 */
const listPage = 250;
const listTimeoutMs = 60_000;
/** The server ends a watch after this long, spread so that not all watches end together. */
const watchSeconds = { from: 300, spread: 300 };
/** Bookmarks come about once a minute; this much silence means a dead connection. */
const silenceMs = 150_000;
/** etcd refuses objects above 1.5 MiB by default; a line above this is not from an API server. */
const lineBytesMax = 16 * 1024 * 1024;
/**
 * While a watch is down no change is seen, so the longest pause is short: with it, the companions
 * of 1,000 nodes send an unavailable server some 270 requests a second. A watch that lasted this
 * long was healthy, even if it delivered nothing.
 */
const backoff = { from: 200, to: 10_000, healthyMs: 10_000 };

type WatchOptions = {
  path: string;
  resource: Resource;
  handler: WatchHandler;
  send: Send;
  log: Logger;
  onBrokenWatch(plural: string): void;
  /**
   * Runs lists one at a time: each holds a page of objects, and after an outage all lists would
   * start at once.
   */
  inTurn<Result>(list: () => Promise<Result>): Promise<Result>;
};

type WatchEvent = { type: string; object: KubeObject & { code?: number; message?: string } };

/** Events may have been lost; only a new list shows the current state. */
class WatchGap extends Error {}

export function startWatch(options: WatchOptions): Watch {
  const stopped = new AbortController();
  const synced = new Promise<void>((resolve) => {
    void run(options, stopped.signal, resolve);
  });
  return { synced, stop: () => stopped.abort() };
}

async function run(
  options: WatchOptions,
  stopped: AbortSignal,
  onSynced: () => void,
): Promise<void> {
  const log = options.log.child({ watch: options.resource.plural });
  const known = trackKnown(options.handler, log);
  const { pauseAfter, reset } = createBackoff(backoff);
  let resourceVersion: string | undefined;
  // At first any state that the watch cache has.
  let lastSeen = '0';
  let wasGap = false;
  while (!stopped.aborted) {
    let isGap = false;
    let watchedFrom = Number.POSITIVE_INFINITY;
    try {
      if (resourceVersion === undefined) {
        resourceVersion = await options.inTurn(() => list(options, lastSeen, known, stopped));
        lastSeen = resourceVersion;
        onSynced();
      }
      watchedFrom = performance.now();
      for await (const event of watch(options, resourceVersion, stopped)) {
        // A stream that delivers is healthy; a stream that ends at once must back off.
        reset();
        if (event.type === 'DELETED') known.remove(event.object);
        else if (event.type !== 'BOOKMARK') known.upsert(event.object);
        resourceVersion = event.object.metadata.resourceVersion ?? resourceVersion;
        lastSeen = resourceVersion;
      }
    } catch (error) {
      if (stopped.aborted) return;
      const isAbsent = options.resource.optional === true && isKubeError(error, 404);
      isGap = error instanceof WatchGap || isKubeError(error, 410);
      if (isAhead(error)) lastSeen = '';
      if (isGap || isAbsent) resourceVersion = undefined;
      if (isAbsent) {
        // The definition of the kind is missing, or was deleted with all its objects.
        known.keepOnly(new Set(), true);
        onSynced();
        log.debug('the cluster does not have this kind');
      } else {
        options.onBrokenWatch(options.resource.plural);
        log.warn({ err: error, relist: resourceVersion === undefined }, 'watch failed');
      }
    }
    // A first gap means that the server is healthy, so retry at once. A second gap right after a
    // fresh list means that it is struggling: back off.
    if (isGap && !wasGap) reset();
    wasGap = isGap;
    await pause(pauseAfter(performance.now() - watchedFrom), stopped);
  }
}

/**
 * This server's cache has not come as far as another server's, or the versions of etcd began anew:
 * only a list of the current state helps.
 */
function isAhead(error: unknown): boolean {
  return isKubeError(error, 504) && /too large resource version/i.test(messageOf(error));
}

async function list(
  { path, resource, send }: WatchOptions,
  lastSeen: string,
  known: Known,
  stopped: AbortSignal,
): Promise<string> {
  const seen = new Set<string>();
  let resourceVersion = '';
  let next = '';
  do {
    const query = selection(resource);
    if (resource.cached && lastSeen !== '') {
      query.set('resourceVersion', lastSeen);
      query.set('resourceVersionMatch', 'NotOlderThan');
    } else query.set('limit', String(listPage));
    if (next) query.set('continue', next);
    const signal = AbortSignal.any([stopped, AbortSignal.timeout(listTimeoutMs)]);
    const response = await send('GET', `${path}?${query}`, { signal, timeoutMs: listTimeoutMs });
    const page = (await json(response)) as {
      apiVersion: string;
      kind: string;
      metadata: { resourceVersion: string; continue?: string };
      items: KubeObject[];
    };
    // Items of a typed list have neither apiVersion nor kind.
    const kind = page.kind.replace(/List$/, '');
    for (const item of page.items) {
      const object = { ...item, apiVersion: page.apiVersion, kind };
      seen.add(keyOf(object));
      known.upsert(object);
    }
    resourceVersion = page.metadata.resourceVersion;
    next = page.metadata.continue ?? '';
  } while (next);
  known.keepOnly(seen);
  return resourceVersion;
}

async function* watch(
  { path, resource, send }: WatchOptions,
  resourceVersion: string,
  stopped: AbortSignal,
): AsyncGenerator<WatchEvent> {
  const query = selection(resource);
  const seconds = watchSeconds.from + Math.floor(Math.random() * watchSeconds.spread);
  query.set('watch', 'true');
  query.set('allowWatchBookmarks', 'true');
  query.set('timeoutSeconds', String(seconds));
  query.set('resourceVersion', resourceVersion);
  const response = await send('GET', `${path}?${query}`, {
    signal: stopped,
    timeoutMs: silenceMs,
  });
  for await (const line of lines(response)) {
    const event = JSON.parse(line) as WatchEvent;
    if (event.type === 'ERROR') {
      throw new WatchGap(`${event.object.code ?? ''} ${event.object.message ?? 'watch error'}`);
    }
    // The changes are unknown; a new list shows the state.
    if (event.type !== 'BOOKMARK' && typeof event.object.metadata.name !== 'string') {
      throw new WatchGap(`a watch event ${event.type} of an object without a name`);
    }
    yield event;
  }
}

function selection({ fieldSelector, labelSelector }: Resource): URLSearchParams {
  return new URLSearchParams({
    ...(fieldSelector && { fieldSelector }),
    ...(labelSelector && { labelSelector }),
  });
}

async function* lines(body: IncomingMessage): AsyncGenerator<string> {
  body.setEncoding('utf8');
  let pending = '';
  for await (const chunk of body as AsyncIterable<string>) {
    const parts = (pending + chunk).split('\n');
    pending = parts.pop() ?? '';
    if (pending.length > lineBytesMax) {
      throw new WatchGap(`a watch event above ${lineBytesMax} bytes`);
    }
    for (const line of parts) if (line) yield line;
  }
}
