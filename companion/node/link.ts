import type { Logger } from 'pino';
import {
  type AgedProxyStats,
  type Answer,
  type CatalogPart,
  type ControllerMessage,
  type Follow,
  type Hello,
  type NodeMessage,
  type NodeStream,
  neverHeard,
  type ProxyReport,
  type Question,
} from '../contract/rpc.ts';
import type { Aggregate } from './aggregate.ts';
import type { NodeMetrics } from './metrics.ts';
import type { ObservedProxy } from './observed.ts';
import type { Pod } from './pods.ts';

/** One open stream to one controller: sends each proxy whole, then its changes. */
export type Link = {
  /** Something of this proxy changed; `urgent`: a destination was seen for the first time. */
  changed(uid: string, urgent: boolean): void;
  gone(pod: Pod): void;
  /** False if the stream is too far behind to accept the message. */
  ask(question: Question): boolean;
  /** Asks for the compact catalog. */
  follow(follow: Follow): void;
  /** Stops the timers; the caller owns the stream. */
  stop(): void;
};

/** New destinations wait this long, so that one message carries those of a burst. */
const urgentMs = 20;
/** Counts are only for people and expiry, so they may wait. */
const usualMs = 2_000;
/** The contract: every proxy at least this often, so that controllers notice a silent filter. */
const repeatMs = 30_000;
/** If a controller accepts nothing for this long, reconnect. */
const stuckMs = 30_000;
/**
 * Messages that are written but not yet taken by the transport; each is small, and answers may
 * never come.
 */
const questionsQueuedMax = 1024;
/**
 * Pods that were deleted while the stream was congested; controllers also see deletions by their
 * own watch.
 */
const goneMax = 4096;

export type LinkOptions = {
  stream: Pick<NodeStream, 'write' | 'on' | 'cancel' | 'writableLength'>;
  hello: Hello;
  /** The features of the node as labels; absent: it reports none. */
  features?(): Record<string, string>;
  aggregate: Aggregate;
  metrics: NodeMetrics;
  log: Logger;
  now: () => number;
  onAnswer(answer: Answer): void;
  onCatalog(link: Link, part: CatalogPart): void;
};

type Outbox = LinkOptions & {
  /** The version of each proxy that was last sent on this stream. */
  sent: Map<string, number>;
  changed: Set<string>;
  gone: Map<string, Pod>;
  congestedSince: number | undefined;
  timer: NodeJS.Timeout | undefined;
  dueAt: number;
  /** As they were last sent on this stream. */
  sentFeatures: string;
};

export function startLink(options: LinkOptions): Link {
  const { stream, aggregate, hello } = options;
  const state: Outbox = {
    ...options,
    sent: new Map(),
    changed: new Set(),
    gone: new Map(),
    congestedSince: undefined,
    timer: undefined,
    dueAt: Number.POSITIVE_INFINITY,
    sentFeatures: '{}',
  };
  stream.on('data', (message: ControllerMessage) => {
    if (message.catalog) options.onCatalog(link, message.catalog);
    else receive(state, message);
  });
  stream.on('drain', () => {
    state.congestedSince = undefined;
    flush(state);
  });
  write(state, 'hello', { hello });
  repeat(state);
  flush(state);
  const repeating = setInterval(repeat, repeatMs, state);

  const link: Link = {
    changed(uid, urgent) {
      state.changed.add(uid);
      schedule(state, urgent ? urgentMs : usualMs);
    },
    gone(pod) {
      noteGone(state, pod);
      schedule(state, urgentMs);
    },
    ask(question) {
      if (stream.writableLength >= questionsQueuedMax) return false;
      // The earlier calls of this proxy matter too, but the answer cannot wait for them.
      write(state, 'question', { question });
      return true;
    },
    follow: (follow) => void write(state, 'follow', { follow }),
    stop() {
      clearInterval(repeating);
      clearTimeout(state.timer);
    },
  };
  return link;

  function repeat({ changed }: Outbox): void {
    for (const proxy of aggregate.proxies()) changed.add(proxy.pod.uid);
    tellFeatures(state);
    schedule(state, usualMs);
  }
}

/** They hardly ever change, so a later turn tells the change if the stream is congested now. */
function tellFeatures(state: Outbox): void {
  const labels = state.features?.() ?? {};
  const text = JSON.stringify(labels);
  if (text === state.sentFeatures || state.congestedSince !== undefined) return;
  state.sentFeatures = text;
  write(state, 'features', { features: { labels } });
}

function noteGone({ changed, sent, gone, metrics }: Outbox, pod: Pod): void {
  changed.delete(pod.uid);
  sent.delete(pod.uid);
  gone.set(pod.uid, pod);
  const [oldest] = gone.keys();
  if (gone.size <= goneMax || oldest === undefined) return;
  gone.delete(oldest);
  metrics.evicted.inc({ table: 'gone' });
}

function receive(state: Outbox, { answer, forget }: ControllerMessage): void {
  if (answer) state.onAnswer(answer);
  if (!forget) return;
  for (const { pod } of state.aggregate.proxies()) {
    if (pod.namespace !== forget.namespace || pod.name !== forget.pod) continue;
    state.sent.delete(pod.uid);
    state.changed.add(pod.uid);
    schedule(state, urgentMs);
  }
}

function schedule(state: Outbox, delayMs: number): void {
  const dueAt = state.now() + delayMs;
  if (dueAt >= state.dueAt) return;
  clearTimeout(state.timer);
  state.dueAt = dueAt;
  state.timer = setTimeout(() => {
    state.dueAt = Number.POSITIVE_INFINITY;
    flush(state);
  }, delayMs);
}

/**
 * Writes until the stream is congested. The rest stays in the sets, where later changes of the same
 * proxy merge with it, so that a slow controller never makes a queue grow.
 */
function flush(state: Outbox): void {
  const { changed, gone, aggregate, sent, congestedSince, now } = state;
  if (congestedSince !== undefined) {
    if (now() - congestedSince > stuckMs) state.stream.cancel();
    else schedule(state, usualMs);
    return;
  }
  for (const [uid, { namespace, name }] of gone) {
    gone.delete(uid);
    if (!write(state, 'gone', { gone: { namespace, pod: name, podUid: uid } })) return;
  }
  for (const uid of changed) {
    changed.delete(uid);
    const proxy = aggregate.get(uid);
    if (!proxy) continue;
    const report = reportOf(proxy, sent.get(uid), state);
    sent.set(uid, proxy.version);
    if (!write(state, 'report', { report })) return;
  }
}

function reportOf(
  proxy: ObservedProxy,
  sentVersion: number | undefined,
  { aggregate, now }: Outbox,
): ProxyReport {
  const { pod, filterVersion, overflow, stats } = proxy;
  const { source, heardAt, unbrokenSince } = aggregate.lifeOf(proxy);
  return {
    namespace: pod.namespace,
    pod: pod.name,
    podUid: pod.uid,
    filterVersion,
    edges: aggregate.changesSince(proxy, sentVersion ?? 0),
    overflow,
    secondsSinceHeartbeat:
      heardAt === undefined ? neverHeard : Math.max(0, Math.floor((now() - heardAt) / 1000)),
    ...(source === 'access-log' && {
      source,
      secondsUnbroken: Math.max(0, Math.floor((now() - (unbrokenSince ?? now())) / 1000)),
    }),
    ...(stats && { stats: agedStats(stats, now()) }),
  };
}

function agedStats(
  { at, ...stats }: NonNullable<ObservedProxy['stats']>,
  now: number,
): AgedProxyStats {
  return { ...stats, secondsSinceRead: Math.max(0, Math.floor((now - at) / 1000)) };
}

/** False if the stream accepts no more for now. */
function write(state: Outbox, kind: string, message: NodeMessage): boolean {
  state.metrics.sent.inc({ kind });
  if (state.stream.write(message)) return true;
  if (state.congestedSince === undefined) {
    state.congestedSince = state.now();
    state.metrics.congested.inc();
    schedule(state, usualMs);
  }
  return false;
}
