import { setImmediate as immediate } from 'node:timers/promises';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { ReportedEdge } from '../../../../companion/contract/rpc.ts';
import { createControllerMetrics } from '../../../../companion/controller/metrics.ts';
import { createNodeMessages } from '../../../../companion/controller/nodes/messages.ts';
import { createKubeSink } from '../../../../companion/controller/reconcile/kube-sink.ts';
import type { Life } from '../../../../companion/controller/reconcile/life.ts';
import { createPace } from '../../../../companion/controller/reconcile/pace.ts';
import { createReconciler } from '../../../../companion/controller/reconcile/reconcile.ts';
import { recoverUnrecorded } from '../../../../companion/controller/reconcile/recover.ts';
import { createState } from '../../../../companion/controller/state/state.ts';
import { createChanges } from '../../../../companion/controller/watch/changes.ts';
import { startInformers } from '../../../../companion/controller/watch/informers.ts';
import { entryOf } from '../../../../companion/core/scope/hosts.ts';
import { sentinelHost } from '../../../../companion/core/scope/sentinel.ts';
import type { FakeKube } from './fake-kube.ts';

const clusterDomain = 'cluster.local';
const gatewayHost = 'lazyscope-egress.lazyscope-system.svc.cluster.local';
const rootNamespace = 'istio-system';
const silent = pino({ level: 'silent' });
/** Narrowing at once, and nothing expires by itself within a test. */
const life: Life = {
  learningWindowMs: 0,
  ttlMs: 259_200_000,
  silenceMs: 300_000,
  guard: { share: 0.25, count: 20 },
};

/** A controller without its network: the parts of `runController`, wired the same way. */
export async function startController(
  kube: FakeKube,
  options: { leads?: boolean; life?: Partial<Life>; revisions?: string[]; served?: string[] } = {},
) {
  let leads = options.leads ?? true;
  let clock = Date.parse('2026-01-01T00:00:00Z');
  const now = () => clock;
  const metrics = createControllerMetrics(new Registry());
  const state = createState({
    clusterDomain,
    namespace: 'lazyscope-system',
    revisions: options.revisions ?? [],
    served: options.served ?? [],
  });
  const sink = createKubeSink({
    kube,
    log: silent,
    metrics,
    leaseMs: () => (leads ? 10_000 : 0),
    now,
  });
  const sentinel = { namespace: 'lazyscope-system', host: sentinelHost };
  const gateway = { namespace: 'lazyscope-system', host: gatewayHost };
  const ownLife = { ...life, ...options.life };
  const reconciler = createReconciler({
    state,
    sink,
    metrics,
    rootNamespace,
    sentinel,
    gateway,
    life: ownLife,
    now,
  });
  const failures: unknown[] = [];
  let running = 0;
  const pace = createPace({
    async run(key) {
      running += 1;
      return reconciler.runOnce(key).finally(() => {
        running -= 1;
      });
    },
    writesPerSecond: 1_000,
    pauseMs: 0,
    onThrottled: () => undefined,
    onFailed: (_key, error) => failures.push(error),
  });
  const changes = createChanges({
    state,
    mark: pace.mark,
    markPorts: () => undefined,
    isLeader: sink.mayWrite,
  });
  const informers = startInformers(kube, state, changes, {
    rootNamespace,
    now,
    leads: sink.mayWrite,
    filters: true,
  });
  await informers.synced;
  const config = {
    clusterDomain,
    gatewayHost,
    rootNamespace,
    trustDomain: 'cluster.local',
    firstCall: 'direct' as const,
  };
  const messages = createNodeMessages({
    state,
    metrics,
    config,
    life: ownLife,
    now,
    mark: pace.mark,
  });

  function uidOf(pod: string): string {
    return kube.all('Pod').find(({ metadata }) => metadata.name === pod)?.metadata.uid ?? 'none';
  }

  let questions = 0;
  return {
    state,
    metrics,
    messages,
    failures,
    pass: (ms: number) => {
      clock += ms;
    },
    elect() {
      leads = true;
      recoverUnrecorded(state, new Set([sentinel, gateway].map(entryOf)), now());
      changes.all();
    },
    /** Looks at everything, as the tick does. */
    look: () => changes.all(),
    /** Looks at everything now, and resolves when nothing is under way any more. */
    async lookThrough(): Promise<void> {
      const names = [...state.workloads('shop'), ...state.scopes.in('shop')];
      for (const { name } of names) pace.mark(`shop/${name}`, false);
      while (running + pace.pending() > 0) await immediate();
    },
    /** Looks at what waited for its time, as the tick does. */
    lookAtDue() {
      for (const key of reconciler.takeDue()) pace.mark(key, false);
    },
    /** With 0 clusters the node has not read the proxy yet. */
    report(
      pod: string,
      edges: ReportedEdge[] = [],
      { node = 'node-1', clusters = 2010 }: { node?: string; clusters?: number } = {},
    ) {
      messages.onReport(node, {
        namespace: 'shop',
        pod,
        podUid: uidOf(pod),
        filterVersion: '1',
        edges,
        overflow: 0,
        secondsSinceHeartbeat: 0,
        ...(clusters > 0 && {
          stats: { allocatedBytes: clusters * 75e3, physicalBytes: 0, clusters },
        }),
      });
    },
    /** A report as a node may send it, true or not. */
    tell(node: string, { pod, podUid }: { pod: string; podUid: string }) {
      const silent = { filterVersion: '1', edges: [], overflow: 0 };
      const who = { namespace: 'shop', pod, podUid };
      messages.onReport(node, { ...who, ...silent, secondsSinceHeartbeat: 0 });
    },
    ask(pod: string, authority: string, destination = '10.96.0.1:80', node = 'node-1') {
      questions += 1;
      const call = { tcp: false, authority, destination };
      const asker = { id: questions, namespace: 'shop', pod, podUid: uidOf(pod) };
      return messages.onQuestion(node, { ...asker, call });
    },
    async stop() {
      informers.stop();
      changes.stop();
      await pace.stop();
    },
  };
}
