import { steadyClock } from '../bounds/clock.ts';
import type { ControllerConfig } from '../frame/config.ts';
import type { RoleDeps } from '../frame/role.ts';
import { connectKube } from '../kube/kube.ts';
import { startLeader } from '../kube/leader.ts';
import { createAccessCheck } from './console/access.ts';
import { createNodesKnown } from './console/nodes-known.ts';
import { createPast, type Past } from './console/past.ts';
import { createPrometheus } from './console/prometheus.ts';
import { startConsole } from './console/server.ts';
import { takeOver } from './console/takeover.ts';
import { startEngine } from './engine.ts';
import { startFilterServer } from './filter-server.ts';
import { type ControllerMetrics, createControllerMetrics } from './metrics.ts';
import { startNodeServer } from './nodes/server.ts';
import { servingCertificate } from './nodes/serving-certificate.ts';
import { createNodes } from './nodes/streams.ts';
import { createKubeSink } from './reconcile/kube-sink.ts';

/**
 * Every replica watches, listens and answers; the holder of the Lease also writes. Nothing is
 * written before everything was read, because an empty state would narrow scopes.
 */
export async function runController(
  config: ControllerConfig,
  { log, lifecycle, registry, debug }: RoleDeps,
): Promise<void> {
  const now = steadyClock();
  const metrics = createControllerMetrics(registry);
  const kube = await connectKube(config, { log, registry });
  lifecycle.onStop('kube', () => kube.close());

  const filters = await startFilterServer(config, { metrics, log });
  lifecycle.onStop('filter', () => filters.server.close());

  let leaseMs = () => 0;
  const sink = createKubeSink({ kube, log, metrics, leaseMs: () => leaseMs(), now });
  const engine = startEngine({ config, kube, sink, log, metrics, now, served: filters.digests });
  lifecycle.onStop('engine', () => engine.stop());
  const informed = lifecycle.registerTask('informers');
  await engine.synced;
  informed();

  const nodes = createNodes({
    ...engine.messages,
    ...{ kube, log, metrics, now },
    namespace: config.namespace,
    nodeOfPod: (name) => engine.state.catalog.pod(config.namespace, name)?.node,
  });
  const keys = await servingCertificate(kube, config.namespace, now());
  const server = await startNodeServer(nodes, keys, config.grpcPort);
  lifecycle.onStop('nodes', () => server.stop());

  const { state, history } = engine;
  // The Service has other replicas only, as long as this one is not ready.
  const service = `lazyscope-controller.${config.namespace}.svc`;
  await takeOver({ history, keys, log, service, port: config.consolePort });
  const namespaces = () => [...new Set([...state.scopes.values()].map((each) => each.namespace))];
  const nodesKnown = createNodesKnown({ kube, labels: state.nodeLabels, now });
  const page = await startConsole({
    ...{ keys, metrics, port: config.consolePort, pagePath: config.consolePath },
    known: {
      ...{ scopes: state.scopes, history, now, explained: engine.explained, nodes: nodesKnown },
      past: pastOf(config, { metrics, now, log }),
      kiali: config.kialiUrl,
    },
    access: createAccessCheck({ kube, metrics, namespaces, now }),
  });
  lifecycle.onStop('console', () => page.close());

  const leader = startLeader({
    kube,
    log,
    namespace: config.namespace,
    name: 'lazyscope-controller',
    identity: config.podName,
    leaseSeconds: config.leaseSeconds,
    onElected() {
      metrics.leader.set(1);
      engine.lead();
    },
    onLost: () => metrics.leader.set(0),
  });
  leaseMs = leader.remainingMs;
  engine.startTick(nodes);
  // In reverse order: new work stops first, then the Lease is released, so that no other replica
  // writes meanwhile.
  lifecycle.onStop('lease', () => leader.release());
  lifecycle.onStop('writes', () => engine.settle());
  debug.set('workloads', () => [...engine.state.scopes.values()].slice(0, 1_000));
}

type PastDeps = Pick<RoleDeps, 'log'> & { metrics: ControllerMetrics; now: () => number };

/** Undefined without a Prometheus. */
function pastOf({ prometheusUrl }: ControllerConfig, deps: PastDeps): Past | undefined {
  if (prometheusUrl === '') return undefined;
  const { metrics, now, log } = deps;
  const prometheus = createPrometheus({
    ...{ address: prometheusUrl, metrics, now },
    onFailure: (reason) => log.warn({ prometheusUrl, reason }, 'no answer from Prometheus'),
  });
  return createPast({ prometheus, now });
}
