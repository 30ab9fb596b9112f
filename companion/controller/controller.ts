import type { ControllerConfig } from '../config.ts';
import { entryOf } from '../core/scope.ts';
import { sentinelHost } from '../core/sentinel.ts';
import { connectKube } from '../kube.ts';
import { startLeader } from '../leader.ts';
import type { RoleDeps } from '../role.ts';
import { createAnswering } from './answering.ts';
import { createChanges } from './changes.ts';
import { startFilterServer } from './filter-server.ts';
import { startInformers } from './informers.ts';
import { createControllerMetrics } from './metrics.ts';
import { createNodes, startNodeServer } from './nodes.ts';
import { createPace } from './pace.ts';
import { createReconciler } from './reconcile.ts';
import { recoverUnrecorded } from './recover.ts';
import { createSentinelKeeper } from './sentinel-keeper.ts';
import { servingCertificate } from './serving-certificate.ts';
import { createState } from './state.ts';
import { startTick } from './tick.ts';
import { createWriter } from './write.ts';

/** Pause between two writes of one workload that nobody waits for. */
const pauseMs = 1_000;

/**
 * Every replica watches, listens and answers; the one that holds the lease also writes. Order
 * matters: nothing is written before everything was read, or an empty memory would narrow scopes.
 */
export async function runController(
  config: ControllerConfig,
  { log, lifecycle, registry, debug }: RoleDeps,
): Promise<void> {
  const now = () => Date.now();
  const metrics = createControllerMetrics(registry);
  const kube = await connectKube(config, { log, registry });
  lifecycle.onStop('kube', () => kube.close());

  const filter = await startFilterServer(config.wasmPath, config.filterPort);
  lifecycle.onStop('filter', () => filter.server.close());
  log.info({ sha256: filter.sha256 }, 'filter served');

  const state = createState(config);
  let leaseMs = () => 0;
  const writer = createWriter({ kube, log, metrics, leaseMs: () => leaseMs(), now });
  const sentinel = createSentinelKeeper({ state, writer, log, namespace: config.namespace });
  const gatewayNamespace = config.gatewayHost.split('.')[1] ?? config.namespace;
  const sentinelRef = { namespace: config.namespace, host: sentinelHost };
  const gatewayRef = { namespace: gatewayNamespace, host: config.gatewayHost };
  const reconciler = createReconciler({
    state,
    writer,
    rootNamespace: config.rootNamespace,
    sentinel: sentinelRef,
    gateway: gatewayRef,
    learningWindowMs: config.learningWindowSeconds * 1000,
    now,
  });
  const pace = createPace({
    run: reconciler.runOnce,
    writesPerSecond: config.writesPerSecond,
    pauseMs,
    onThrottled: () => metrics.throttled.inc(),
    onFailed: (workload, err) => log.error({ err, workload }, 'reconciling failed, will retry'),
  });

  const changed = createChanges({
    state,
    mark: (key) => pace.mark(key, false),
    markPorts: sentinel.mark,
    isLeader: writer.mayWrite,
  });
  lifecycle.onStop('changes', () => changed.stop());

  const informed = lifecycle.await('informers');
  const informers = startInformers(kube, state, changed, { ...config, now });
  lifecycle.onStop('informers', () => informers.stop());
  await informers.synced;
  informed();

  const answering = createAnswering({ state, metrics, config, now, mark: pace.mark });
  const nodes = createNodes({ ...answering, kube, log, metrics, namespace: config.namespace });
  const keys = await servingCertificate(kube, config.namespace, now());
  const server = await startNodeServer(nodes, keys, config.grpcPort);
  lifecycle.onStop('nodes', () => server.stop());

  const leader = startLeader({
    kube,
    log,
    namespace: config.namespace,
    name: 'lazyscope-controller',
    identity: config.podName,
    leaseSeconds: config.leaseSeconds,
    onElected() {
      metrics.leader.set(1);
      recoverUnrecorded(state, new Set([sentinelRef, gatewayRef].map(entryOf)), now());
      changed.all();
      changed.ports();
    },
    onLost: () => metrics.leader.set(0),
  });
  leaseMs = leader.remainingMs;
  const tick = startTick({
    state,
    metrics,
    changed,
    pace,
    reconciler,
    nodes,
    answering,
    now,
    ...leader,
  });
  // In reverse: first no new work, then the lease goes, so that nobody else writes meanwhile.
  lifecycle.onStop('lease', () => leader.release());
  lifecycle.onStop('sentinel', () => sentinel.stop());
  lifecycle.onStop('writes', () => pace.stop());
  lifecycle.onStop('tick', () => tick.stop());
  debug.set('workloads', () => [...state.scopes.values()].slice(0, 1_000));
}
