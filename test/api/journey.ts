import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { ApiServer } from '../../box/api/api-server.ts';
import { type Candidates, watchCandidates } from '../../companion/bypass/candidates.ts';
import { createPublish } from '../../companion/bypass/publish.ts';
import { createReport, eventOf } from '../../companion/bypass/report.ts';
import { startEngine } from '../../companion/controller/engine.ts';
import { createControllerMetrics } from '../../companion/controller/metrics.ts';
import { servingCertificate } from '../../companion/controller/nodes/serving-certificate.ts';
import { createKubeSink } from '../../companion/controller/reconcile/kube-sink.ts';
import { controllerSettings } from '../../companion/frame/config.ts';
import { readSettings } from '../../companion/frame/settings.ts';
import { connectKube } from '../../companion/kube/kube.ts';
import { type Leader, startLeader } from '../../companion/kube/leader.ts';
import { collectionPath } from '../../companion/kube/path.ts';
import { caFromKube } from '../../companion/node/ca.ts';
import { createFeatures } from '../../companion/node/features.ts';
import { createNodeMetrics } from '../../companion/node/metrics.ts';
import { readNodeFacts } from '../../companion/node/node-facts.ts';
import { createPods, watchPods } from '../../companion/node/pods.ts';

/** Makes each call that a role makes to the API server, once. Ends at the first refusal. */
export type Journey = (options: JourneyOptions) => Promise<string[]>;

export type JourneyOptions = {
  api: ApiServer;
  /** The folder of the service account. */
  account: string;
  /** Namespace of the product's own objects. */
  system: string;
  /** An enabled namespace with the workload `web`, whose pod runs on `node-1`. */
  app: string;
};

/** The pod `web` of the enabled namespace. */
export const webPod = {
  metadata: {
    name: 'web',
    labels: { app: 'web', 'security.istio.io/tlsMode': 'istio' },
    annotations: { 'sidecar.istio.io/status': '{}', 'lazyscope.io/bypass': 'enabled' },
  },
  spec: { nodeName: 'node-1', containers: [{ name: 'istio-proxy', image: 'proxy' }] },
};

/** Time in which watches open that nothing else waits for. A refusal ends the journey at once. */
const openedMs = 5_000;
/** A bound for a hang. */
const longMs = 120_000;

/** A client that records every refusal, wherever the code notices it. */
async function listen(account: string) {
  const denied: string[] = [];
  const heard = (line: string) => {
    const { err } = JSON.parse(line) as { err?: { status?: number; message: string } };
    if (err?.status === 403) denied.push(err.message);
  };
  const log = pino({ level: 'debug' }, { write: heard });
  const registry = new Registry();
  const kube = await connectKube(
    { kubeconfig: '', serviceAccountPath: account },
    { log, registry },
  );
  const refusal = async () => {
    while (denied.length === 0) await sleep(20);
  };
  /**
   * Runs to the end or to the first refusal. An error that the journey throws counts as a refusal.
   */
  async function run(journey: () => Promise<void>): Promise<string[]> {
    const late = sleep(longMs).then(() => denied.push(`not done within ${longMs} ms`));
    const done = journey().catch((error) => denied.push(String(error.message)));
    await Promise.race([done, refusal(), late]);
    return denied;
  }
  return { kube, log, registry, run };
}

export const controllerJourney: Journey = async ({ api, account, system, app }) => {
  const { kube, log, registry, run } = await listen(account);
  const env = { LAZYSCOPE_POD_NAME: 'controller-0', LAZYSCOPE_NAMESPACE: system };
  const config = {
    ...readSettings(controllerSettings, env, []),
    learningWindowSeconds: 0,
    leaseSeconds: 6,
  };
  const now = () => Date.now();
  const metrics = createControllerMetrics(registry);
  let leader: Leader | undefined;
  const leaseMs = () => leader?.remainingMs() ?? 0;
  const sink = createKubeSink({ kube, log, metrics, leaseMs, now });
  const engine = startEngine({ config, kube, sink, log, metrics, now, served: [] });
  const { state } = engine;

  const setMode = (mode: string | null) =>
    api.call('PATCH', `/api/v1/namespaces/${app}`, {
      metadata: { labels: { 'lazyscope.io/mode': mode } },
    });
  const hasSidecar = () => [...state.sidecars.in(app)].length > 0;
  const hasScope = () => [...state.scopes.in(app)].length > 0;

  const denied = await run(async () => {
    await engine.synced;
    leader = startLeader({
      ...{ kube, log, namespace: system, leaseSeconds: config.leaseSeconds },
      name: 'lazyscope-controller',
      identity: 'controller-0',
      onElected: engine.lead,
      onLost: () => undefined,
    });
    // A refused watch shows only when the watch is opened, which is after its list has been
    // answered.
    await servingCertificate(kube, system, now());
    // A time at which the certificate must be renewed.
    await servingCertificate(kube, system, now() + 3_600 * 86_400_000);
    while (leaseMs() === 0) await sleep(20);
    while (state.catalog.hosts.exact('http-ports.lazyscope.internal').length === 0) await sleep(20);
    await api.call('POST', `/api/v1/namespaces/${app}/services`, {
      metadata: { name: 'odd' },
      spec: { ports: [{ name: 'http', port: 8181 }] },
    });
    while (state.catalog.hosts.exact(`odd.${app}.svc.cluster.local`).length === 0) await sleep(20);
    const uid = state.catalog.pod(app, 'web')?.uid ?? '';
    engine.messages.onReport('node-1', {
      ...{ namespace: app, pod: 'web', podUid: uid, filterVersion: '1' },
      ...{ overflow: 0, secondsSinceHeartbeat: 0, edges: [] },
      stats: { allocatedBytes: 1, physicalBytes: 1, clusters: 1 },
    });
    while (!hasSidecar() || !hasScope()) await sleep(20);
    await setMode('off');
    while (hasSidecar()) await sleep(20);
    await setMode(null);
    while (hasScope()) await sleep(20);
    await kube.tokenReview('nobody', ['lazyscope']);
    await kube.listMetadata({ group: '', version: 'v1', plural: 'nodes' });
    await kube.mayList({ authenticated: true, username: 'nobody' }, 'workloadscopes');
    // Renewals, which follow each third of a lease, and the ports of the sentinel.
    await sleep(config.leaseSeconds * 1000);
    await engine.settle();
    await leader.release();
  });
  await engine.stop();
  await leader?.release().catch(() => undefined);
  kube.close();
  return denied;
};

/** The API server decides about the page's rows as about this request. */
export const viewerJourney: Journey = async ({ account }) => {
  const { kube, run } = await listen(account);
  const scopes = { group: 'lazyscope.io', version: 'v1alpha1', plural: 'workloadscopes' };
  const denied = await run(async () => void (await kube.get(scopes, '')));
  kube.close();
  return denied;
};

export const nodeJourney: Journey = async ({ api, account, system, app }) => {
  const { kube, log, registry, run } = await listen(account);
  const metrics = createNodeMetrics(registry);
  const pods = createPods({
    metrics,
    onGone: () => undefined,
    onMode: () => undefined,
  });
  const watches = watchPods(kube, 'node-1', pods);
  const ca = caFromKube(kube, system);
  const denied = await run(async () => {
    await Promise.all(watches.map(({ synced }) => synced));
    while (![...pods.enabled()].some(({ namespace }) => namespace === app)) await sleep(20);
    while (!(await ca.read())) await sleep(20);
    const pod = { podName: 'lazyscope-node-x', podUid: '1-2-3', featureFile: '' };
    const features = createFeatures({
      ...{ config: { nodeName: 'node-1', namespace: system, ...pod }, kube, metrics, log },
      ...{ readFacts: readNodeFacts, now: Date.now, date: Date.now },
    });
    await features.round();
    const written = { group: 'nfd.k8s-sigs.io', version: 'v1alpha1', plural: 'nodefeatures' };
    const path = collectionPath(written, system, 'lazyscope-node-1');
    const { spec } = await api.call<{ spec?: { labels: object } }>('GET', path);
    if (!spec) throw new Error('no NodeFeature was written');
    // The API server has answered the lists. The watches open after them.
    await sleep(openedMs);
  });
  for (const watch of watches) watch.stop();
  ca.stop();
  kube.close();
  return denied;
};

export const bypassJourney: Journey = async ({ account }) => {
  const { kube, run } = await listen(account);
  const publish = createPublish({ kube, nodeName: 'node-1', featurePath: '' });
  let candidates: Candidates | undefined;
  const denied = await run(async () => {
    await new Promise<void>((resolve) => {
      const look = () => candidates?.optedIn() && candidates.all().length > 0 && resolve();
      candidates = watchCandidates(kube, 'node-1', look);
    });
    const state = { name: 'refused', reason: 'for this test' } as const;
    await publish(createReport(state, { features }, candidates?.all() ?? []));
    await kube.create(eventOf('node-1', 'BypassRefused', 'for this test', new Date()));
    // The API server has answered the lists. The watches open after them.
    await sleep(openedMs);
  });
  candidates?.stop();
  kube.close();
  return denied;
};

const features = {
  ...{ kernel: '6.1.0', architecture: 'x64', btf: true, cgroups: 'v2' as const },
  ...{ ktls: false, mptcp: false, aes: false, avx512: false, vaes: false },
};
