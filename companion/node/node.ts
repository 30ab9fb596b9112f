import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeConfig } from '../config.ts';
import { connectKube } from '../kube.ts';
import { createNodeMetrics } from '../metrics.ts';
import type { RoleDeps } from '../role.ts';
import { version } from '../version.ts';
import { createAggregate } from './aggregate.ts';
import { caFromFile, caFromKube } from './ca.ts';
import { createDecisions } from './decisions.ts';
import { createHold } from './hold.ts';
import { startIngress } from './ingress.ts';
import { createPods, watchPods } from './pods.ts';
import { proxiesView } from './proxies-view.ts';
import { createQuestions } from './questions.ts';
import { startScrape } from './scrape.ts';
import { createAdmit } from './source.ts';
import { startUplink } from './uplink.ts';
import { readVmReport } from './vm-report.ts';

/** The companion of one node: hears its filters, asks controllers, holds requests. */
export async function runNode(config: NodeConfig, deps: RoleDeps): Promise<void> {
  const { log, lifecycle, registry, debug } = deps;
  const metrics = createNodeMetrics(registry);
  const now = () => performance.now();

  const kube = connectKube({
    log,
    ...(config.kubeconfig && { kubeconfigPath: config.kubeconfig }),
  });
  lifecycle.onStop('kube', () => kube.close());
  const ca = config.caPath ? caFromFile(config.caPath) : caFromKube(kube, config.namespace);
  lifecycle.onStop('ca', ca.stop);

  const aggregate = createAggregate({ metrics, now });
  const pods = createPods({
    metrics,
    onGone(pod) {
      aggregate.forget(pod.uid);
      admit.forget(pod);
      uplink.gone(pod);
    },
  });
  const admit = createAdmit(pods, metrics, now);
  const questions = createQuestions({
    send: (question) => uplink.ask(question),
    answerMs: config.answerMilliseconds,
    metrics,
    log,
    now,
  });
  const uplink = startUplink({
    service: config.controllerService,
    port: config.controllerGrpcPort,
    hello: { node: config.nodeName, version },
    ca: ca.read,
    tokenPath: config.tokenPath,
    aggregate,
    metrics,
    log,
    now,
    onAnswer: questions.answered,
  });
  lifecycle.onStop('uplink', uplink.stop);

  const watches = watchPods(kube, config.nodeName, pods);
  lifecycle.onStop('watches', () => {
    for (const watch of watches) watch.stop();
  });
  const watched = lifecycle.await('pods of this node');
  void Promise.all(watches.map((watch) => watch.synced)).then(watched);

  const scrape = startScrape({
    pods: pods.enabled,
    onStats(pod, stats) {
      // The pod may have gone while it was asked.
      if (!pods.isServed(pod)) return;
      aggregate.setStats(pod, stats);
      uplink.changed(pod.uid, false);
    },
    intervalMs: config.scrapeSeconds * 1000,
    metrics,
    log,
  });
  lifecycle.onStop('scrape', scrape.stop);

  const hold = createHold({
    ask: questions.ask,
    metrics,
    now,
    sleep: (ms, signal) => sleep(ms, undefined, { ...(signal && { signal }) }),
    settleMs: config.settleMilliseconds,
    holdMs: config.holdMilliseconds,
  });
  const ingress = await startIngress({
    port: config.port,
    admit,
    decode: readVmReport,
    aggregate,
    decisions: createDecisions({ ask: questions.ask, metrics, now }),
    hold,
    onReport: uplink.changed,
    metrics,
    log,
  });
  lifecycle.onStop('node port', () => ingress.close());
  lifecycle.onStop('held requests', hold.stop);
  debug.set('proxies', () => proxiesView(aggregate, now()));
}
