import type { AddressInfo } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { anyAddress } from '../frame/any-address.ts';
import type { NodeConfig } from '../frame/config.ts';
import type { Lifecycle } from '../frame/lifecycle.ts';
import type { RoleDeps } from '../frame/role.ts';
import { version } from '../frame/version.ts';
import { connectKube } from '../kube/kube.ts';
import type { Kube } from '../kube/object.ts';
import { type AccessLogs, createAccessLogs } from './access-log.ts';
import { startAccessLogServer } from './access-log-server.ts';
import { createAdmit } from './admit.ts';
import { type Aggregate, createAggregate } from './aggregate.ts';
import { caFromFile, caFromKube } from './ca.ts';
import { type CompactReplica, createCompactReplica } from './compact-replica.ts';
import { type Ask, createDecisions } from './decisions.ts';
import { type FollowedFeatures, followFeatures } from './features.ts';
import { createHold } from './hold.ts';
import { startIngress } from './ingress.ts';
import { createNodeMetrics, type NodeMetrics } from './metrics.ts';
import { readNodeFacts } from './node-facts.ts';
import { createPods, type Pod, type Pods, watchPods } from './pods.ts';
import { proxiesView } from './proxies-view.ts';
import { createQuestions } from './questions.ts';
import { type Scrape, startScrape } from './scrape.ts';
import { startUplink, type Uplink } from './uplink.ts';

/**
 * The companion of one node: receives the reports of its filters, asks controllers, holds requests.
 */
export async function runNode(config: NodeConfig, deps: RoleDeps): Promise<void> {
  const { lifecycle } = deps;
  const kube = await connectKube(config, deps);
  lifecycle.onStop('kube', () => kube.close());
  const { log } = deps;
  const clocks = { now: () => performance.now(), date: Date.now };
  await startNode(config, deps, kube, {
    ...cluster(),
    features: (metrics) =>
      followFeatures({ config, kube, log, metrics, readFacts: readNodeFacts, ...clocks }),
  });
}

/** The environment of a node companion: a cluster, or an embedded mesh. */
export type Surroundings = {
  connect: typeof startUplink;
  /** The address to listen on. */
  host: string;
  /** Port of the proxy's Prometheus stats; undefined means Istio's default. */
  statsPort: (() => number) | undefined;
  /** Follows the features of the node; absent: they are not looked for. */
  features?(metrics: NodeMetrics): FollowedFeatures;
};

const cluster = (): Surroundings => ({
  connect: startUplink,
  host: anyAddress(),
  statsPort: undefined,
});

/**
 * Starts with the given API server; returns the port that it serves, which the caller needs if it
 * configured port 0.
 */
export async function startNode(
  config: NodeConfig,
  deps: RoleDeps,
  kube: Pick<Kube, 'watch'>,
  surroundings: Surroundings = cluster(),
): Promise<{ port: number; accessLogPort: number }> {
  const { log, lifecycle, registry, debug } = deps;
  const metrics = createNodeMetrics(registry);
  const now = () => performance.now();
  const aggregate = createAggregate({ metrics, now, sourceOf: (pod) => pods.sourceOf(pod) });
  debug.set('proxies', () => proxiesView(aggregate, now()));
  const common = { config, lifecycle, kube, metrics, log, now, aggregate, surroundings };

  const { uplink, ask, replica } = startControllers(common);
  const pods = createPods({
    metrics,
    onGone(pod) {
      scrape.forget(pod);
      aggregate.forget(pod.uid);
      admit.forget(pod);
      logs.forget(pod);
      uplink.gone(pod);
    },
    onMode: (pod) => scrape.changing(pod),
  });
  const admit = createAdmit(pods, metrics, now);
  followPods(common, pods);
  const scrape = followStats(common, pods, uplink);

  const hold = createHold({
    ask,
    metrics,
    now,
    sleep: (ms, signal) => sleep(ms, undefined, { ...(signal && { signal }) }),
    settleMs: config.settleMilliseconds,
    holdMs: config.holdMilliseconds,
  });
  const serves = (address: string) => 'pod' in pods.find(address);
  function onReport(pod: Pod, urgent: boolean): void {
    uplink.changed(pod.uid, urgent);
    scrape.reported(pod);
  }
  const logs = createAccessLogs({ ...common, pods, onReport });
  const accessLogPort = await listenForLogs(common, logs, serves);
  const ingress = await startIngress({
    port: config.port,
    host: surroundings.host,
    admit,
    serves,
    aggregate,
    decisions: createDecisions({ ask, lookUp: replica.answer, metrics, now }),
    hold,
    onReport,
    metrics,
    log,
  });
  lifecycle.onStop('node port', () => ingress.close());
  lifecycle.onStop('held requests', hold.stop);
  return { port: (ingress.server.address() as AddressInfo).port, accessLogPort };
}

async function listenForLogs(
  { config, surroundings, metrics, log, lifecycle }: Common,
  logs: AccessLogs,
  serves: (address: string) => boolean,
): Promise<number> {
  const { server, close } = await startAccessLogServer({
    ...{ port: config.accessLogPort, host: surroundings.host },
    ...{ logs, serves, metrics, log },
  });
  lifecycle.onStop('access log port', close);
  return (server.address() as AddressInfo).port;
}

type Common = {
  config: NodeConfig;
  lifecycle: Lifecycle;
  kube: Pick<Kube, 'watch'>;
  surroundings: Surroundings;
  metrics: NodeMetrics;
  log: Logger;
  now: () => number;
  aggregate: Aggregate;
};

function startControllers(common: Common): {
  uplink: Uplink;
  ask: Ask;
  replica: CompactReplica;
} {
  const { config, lifecycle, kube, surroundings, metrics } = common;
  const ca = config.caPath ? caFromFile(config.caPath) : caFromKube(kube, config.namespace);
  lifecycle.onStop('ca', ca.stop);
  const questions = createQuestions({
    ...common,
    send: (question) => uplink.ask(question),
    answerMs: config.answerMilliseconds,
  });
  const features = surroundings.features?.(metrics);
  lifecycle.onStop('features', () => features?.stop());
  const replica = createCompactReplica({ metrics });
  lifecycle.onStop('catalog', replica.stop);
  const uplink = surroundings.connect({
    ...common,
    service: config.controllerService,
    port: config.controllerGrpcPort,
    hello: { node: config.nodeName, version },
    ...(features && { features: features.labels }),
    ca: ca.read,
    tokenPath: config.tokenPath,
    onAnswer: questions.answered,
    onOpened: replica.opened,
    onEnded: replica.ended,
    onCatalog: replica.received,
  });
  lifecycle.onStop('uplink', uplink.stop);
  return { uplink, ask: questions.ask, replica };
}

function followPods({ kube, config, lifecycle }: Common, pods: Pods): void {
  const watches = watchPods(kube, config.nodeName, pods);
  lifecycle.onStop('watches', () => {
    for (const watch of watches) watch.stop();
  });
  const watched = lifecycle.registerTask('pods of this node');
  void Promise.all(watches.map((watch) => watch.synced)).then(watched);
}

function followStats(common: Common, pods: Pods, uplink: Uplink): Scrape {
  const scrape = startScrape({
    ...common,
    pods: pods.enabled,
    onStats(pod, stats, news, logDropped) {
      // The pod may have been deleted during the request.
      if (!pods.isServed(pod)) return;
      common.aggregate.setStats(pod, stats, logDropped);
      uplink.changed(pod.uid, news);
    },
    intervalMs: common.config.scrapeSeconds * 1000,
    port: common.surroundings.statsPort,
  });
  common.lifecycle.onStop('scrape', scrape.stop);
  return scrape;
}
