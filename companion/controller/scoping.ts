import type { Logger } from 'pino';
import { entryOf } from '../core/scope/hosts.ts';
import { sentinelHost } from '../core/scope/sentinel.ts';
import type { ControllerConfig } from '../frame/config.ts';
import type { ControllerMetrics } from './metrics.ts';
import { createNodeMessages, type NodeMessages } from './nodes/messages.ts';
import { type LifeConfig, lifeOf } from './reconcile/life.ts';
import { createNotices } from './reconcile/notices.ts';
import { createPace, type Pace } from './reconcile/pace.ts';
import { createReconciler, type Reconciler } from './reconcile/reconcile.ts';
import { recoverUnrecorded } from './reconcile/recover.ts';
import { createSentinelKeeper, type SentinelKeeper } from './reconcile/sentinel-keeper.ts';
import type { Sink } from './reconcile/sink.ts';
import type { State } from './state/state.ts';
import { createChanges } from './watch/changes.ts';

/** From what is known to what is written, wherever that goes. */
export type Scoping = {
  changed: ReturnType<typeof createChanges>;
  messages: NodeMessages;
  reconciler: Reconciler;
  pace: Pace;
  sentinel: SentinelKeeper;
  notices: ReturnType<typeof createNotices>;
  /** Looks at everything: this replica leads from now on, and all that is written was read. */
  lead(): void;
};

export type ScopingOptions = {
  config: Pick<
    ControllerConfig,
    | 'namespace'
    | 'clusterDomain'
    | 'gatewayHost'
    | 'trustDomain'
    | 'rootNamespace'
    | 'firstCall'
    | 'writesPerSecond'
    | keyof LifeConfig
  >;
  state: State;
  sink: Sink;
  metrics: ControllerMetrics;
  log: Logger;
  now: () => number;
};

/** Pause between two writes of one workload that nobody waits for. */
const pauseMs = 1_000;

export function createScoping({ config, state, sink, metrics, log, now }: ScopingOptions): Scoping {
  const { namespace, gatewayHost } = config;
  const sentinelRef = { namespace, host: sentinelHost };
  const gatewayRef = { namespace: gatewayHost.split('.')[1] ?? namespace, host: gatewayHost };
  const life = lifeOf(config);
  const sentinel = createSentinelKeeper({ state, sink, log, namespaces: config });
  const reconciler = createReconciler({
    state,
    sink,
    rootNamespace: config.rootNamespace,
    sentinel: sentinelRef,
    gateway: gatewayRef,
    life,
    metrics,
    now,
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
  const changed = createChanges({
    state,
    mark: pace.mark,
    markPorts: sentinel.mark,
    isLeader: sink.mayWrite,
  });
  const messages = createNodeMessages({ state, metrics, config, life, now, mark: pace.mark });
  return {
    changed,
    messages,
    reconciler,
    pace,
    sentinel,
    notices: createNotices({ state, sink, metrics }),
    lead() {
      recoverUnrecorded(state, new Set([sentinelRef, gatewayRef].map(entryOf)), now());
      changed.all();
      changed.ports();
    },
  };
}
