import type { Logger } from 'pino';
import { createHistory, type History } from '../core/history/history.ts';
import { entryOf } from '../core/scope/hosts.ts';
import { sentinelHost } from '../core/scope/sentinel.ts';
import type { ControllerConfig } from '../frame/config.ts';
import type { Kube } from '../kube/object.ts';
import type { Explained } from './explain/known.ts';
import type { ControllerMetrics } from './metrics.ts';
import { createFeed, type Feed } from './nodes/feed.ts';
import { createNodeMessages, type NodeMessages } from './nodes/messages.ts';
import { noteScope } from './nodes/remember.ts';
import type { Nodes } from './nodes/streams.ts';
import type { Life } from './reconcile/inputs.ts';
import { createNotices } from './reconcile/notices.ts';
import { createPace, type Pace } from './reconcile/pace.ts';
import { createReconciler, type Reconciler } from './reconcile/reconcile.ts';
import { recoverUnrecorded } from './reconcile/recover.ts';
import { createSentinelKeeper, type SentinelKeeper } from './reconcile/sentinel-keeper.ts';
import type { Sink } from './reconcile/sink.ts';
import { createState, type State } from './state/state.ts';
import { startTick } from './tick.ts';
import { type Changed, createChanges } from './watch/changes.ts';
import { startInformers } from './watch/informers.ts';
import { markTouched, observed } from './watch/touched.ts';

/** The controller without its network: it watches, learns, answers, plans and applies. */
export type Engine = {
  /** Handlers for the messages of node companions. */
  messages: NodeMessages;
  state: State;
  /** What explanations of calls and scopes read. */
  explained: Explained;
  /** What this replica remembers of the past. */
  history: History;
  /** Resolves when everything was read once; nothing may be written or answered before. */
  synced: Promise<void>;
  /** Starts the periodic work: repair, expiry, figures. */
  startTick(nodes: Pick<Nodes, 'forget' | 'expire' | 'repay'>): void;
  /** Reconciles everything, because this replica leads from now on. Call it after `synced`. */
  lead(): void;
  /** Starts no further work, and resolves when the writes in flight have ended. */
  settle(): Promise<void>;
  /** Stops the watches, and settles. */
  stop(): Promise<void>;
  /** The periodic parts, for callers that run them by hand. */
  parts: {
    changed: Changed;
    pace: Pace;
    reconciler: Reconciler;
    sentinel: SentinelKeeper;
    feed: Pick<Feed, 'sent'>;
  };
};

export type EngineConfig = Pick<
  ControllerConfig,
  | 'namespace'
  | 'clusterDomain'
  | 'gatewayHost'
  | 'trustDomain'
  | 'rootNamespace'
  | 'firstCall'
  | 'revisions'
  | 'writesPerSecond'
  | 'learningWindowSeconds'
  | 'ttlSeconds'
  | 'silenceSeconds'
  | 'shrinkPercent'
  | 'shrinkCount'
  | 'withdrawWorkloads'
  | 'withdrawMegabytes'
>;

export type EngineOptions = {
  config: EngineConfig;
  kube: Pick<Kube, 'watch'>;
  /** Where plans are applied; it also says whether this replica leads. */
  sink: Sink;
  log: Logger;
  metrics: ControllerMetrics;
  /** Milliseconds since the epoch, of a clock that does not jump. */
  now: () => number;
  /**
   * Digests of the filters that this replica serves, its own release first. Undefined outside of a
   * cluster, where proxies get their filter without objects, so none is missing.
   */
  served?: readonly string[] | undefined;
  /** Pause in milliseconds between two writes of one workload that are not urgent. */
  pauseMs?: number;
};

const pauseMsUsual = 1_000;

export function startEngine(options: EngineOptions): Engine {
  const { config, kube, sink, log, metrics, now, served, pauseMs = pauseMsUsual } = options;
  const { namespace, gatewayHost, rootNamespace } = config;
  const history = createHistory(now());
  const state = createState({
    ...config,
    served: served ?? [],
    onScope: (before, after) => noteScope(history, before, after, now()),
  });
  const sentinelRef = { namespace, host: sentinelHost };
  const gatewayRef = { namespace: gatewayHost.split('.')[1] ?? namespace, host: gatewayHost };
  const life = lifeOf(config);
  const sentinel = createSentinelKeeper({ state, sink, log, metrics, namespaces: config });
  const reconciler = createReconciler({
    ...{ state, sink, rootNamespace, life, metrics, now },
    sentinel: sentinelRef,
    gateway: gatewayRef,
    sentinelSettled: sentinel.settled,
  });
  const pace = createPace({
    run: reconciler.runOnce,
    writesPerSecond: config.writesPerSecond,
    pauseMs,
    onThrottled: () => metrics.throttled.inc(),
    onFailed(workload, err) {
      metrics.retries.inc();
      log.error({ err, workload }, 'reconciling failed, will retry');
    },
  });
  const { mark } = pace;
  const leads = sink.mayWrite;
  const changed = createChanges({
    ...{ state, mark, isLeader: leads },
    markPorts: sentinel.mark,
    isSettled: reconciler.isSettled,
  });
  const feed = createFeed({ state, config, metrics, log, now });
  const onFollow = feed.follow;
  const heard = { state, metrics, config, life, history, now, mark, onFollow };
  const messages = createNodeMessages(heard);
  const notices = createNotices({ state, sink, log, metrics });
  const informed = { rootNamespace, now, leads, filters: served !== undefined };
  const watched = observed(kube, markTouched(feed, state, config));
  const informers = startInformers(watched, state, changed, informed);
  let tick: { stop(): void } | undefined;

  async function settle(): Promise<void> {
    tick?.stop();
    await Promise.all([pace.stop(), sentinel.stop()]);
  }

  return {
    messages,
    state,
    explained: {
      ...{ state, config, answers: config },
      look: { state, rootNamespace, now, sentinel: sentinelRef, gateway: gatewayRef },
    },
    history,
    synced: informers.synced,
    startTick(nodes) {
      const parts = { state, sink, metrics, changed, pace, reconciler, messages, notices };
      tick = startTick({ ...parts, feed, nodes, life, history, now });
    },
    lead() {
      recoverUnrecorded(state, new Set([sentinelRef, gatewayRef].map(entryOf)), now());
      changed.all();
      changed.ports();
    },
    settle,
    async stop() {
      informers.stop();
      changed.stop();
      feed.stop();
      await settle();
    },
    parts: { changed, pace, reconciler, sentinel, feed },
  };
}

function lifeOf(config: EngineConfig): Life {
  return {
    learningWindowMs: config.learningWindowSeconds * 1000,
    ttlMs: config.ttlSeconds * 1000,
    silenceMs: config.silenceSeconds * 1000,
    guard: { share: config.shrinkPercent / 100, count: config.shrinkCount },
    withdrawal: {
      workloadsPerMinute: config.withdrawWorkloads,
      bytesPerMinute: config.withdrawMegabytes * 1e6,
    },
  };
}
