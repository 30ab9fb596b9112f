import { setImmediate as immediate } from 'node:timers/promises';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { ReportedEdge } from '../../../../companion/contract/rpc.ts';
import { startEngine } from '../../../../companion/controller/engine.ts';
import { createControllerMetrics } from '../../../../companion/controller/metrics.ts';
import type { Life } from '../../../../companion/controller/reconcile/inputs.ts';
import { createKubeSink } from '../../../../companion/controller/reconcile/kube-sink.ts';
import type { Sink } from '../../../../companion/controller/reconcile/sink.ts';
import { type ControllerConfig, controllerSettings } from '../../../../companion/frame/config.ts';
import { readSettings } from '../../../../companion/frame/settings.ts';
import type { FakeKube } from './fake-kube.ts';

/** Default settings, except that narrowing starts at once. */
const defaults: ControllerConfig = {
  ...readSettings(controllerSettings, { LAZYSCOPE_POD_NAME: 'controller-0' }, []),
  learningWindowSeconds: 0,
  firstCall: 'direct',
  writesPerSecond: 1_000,
  silenceSeconds: 300,
};

/** A controller as `runController` makes it, with an API server in memory and without a network. */
export async function startController(
  kube: FakeKube,
  options: { leads?: boolean; life?: Partial<Life>; revisions?: string[]; served?: string[] } = {},
) {
  let leads = options.leads ?? true;
  let clock = Date.parse('2026-01-01T00:00:00Z');
  const now = () => clock;
  const failures: string[] = [];
  const log = pino({ level: 'error' }, { write: (line) => void failures.push(line) });
  const metrics = createControllerMetrics(new Registry());
  const leaseMs = () => (leads ? 10_000 : 0);
  const sink = countCalls(createKubeSink({ kube, log, metrics, leaseMs, now }));
  const engine = startEngine({
    ...{ kube, sink, log, metrics, now },
    config: { ...defaults, ...settingsOf(options.life), revisions: options.revisions ?? [] },
    served: options.served ?? [],
    pauseMs: 0,
  });
  const { state, messages, history, explained } = engine;
  const { pace, changed, reconciler } = engine.parts;
  await engine.synced;

  for (const node of ['node-1', 'node-2']) messages.onOpened(node);

  function uidOf(pod: string): string {
    return kube.all('Pod').find(({ metadata }) => metadata.name === pod)?.metadata.uid ?? 'none';
  }

  let questions = 0;
  return {
    state,
    history,
    explained,
    metrics,
    messages,
    failures,
    pass: (ms: number) => {
      clock += ms;
    },
    elect() {
      leads = true;
      engine.lead();
    },
    /** Evaluates every workload, as the tick does. */
    look: () => changed.all(),
    /** Evaluates every workload now. Resolves when no work is left. */
    async lookThrough(): Promise<void> {
      const names = [...state.workloads('shop'), ...state.scopes.in('shop')];
      for (const { name } of names) pace.mark(`shop/${name}`, false);
      do await immediate();
      while (sink.calls() + pace.pending() > 0);
    },
    /** Evaluates what the pass of the tick does; returns how many workloads that were. */
    async passThrough(): Promise<number> {
      changed.pass();
      const marked = pace.pending();
      do await immediate();
      while (sink.calls() + pace.pending() > 0);
      return marked;
    },
    /** Evaluates the workloads whose time has come, as the tick does. */
    lookAtDue() {
      for (const key of reconciler.takeDue()) pace.mark(key, false);
    },
    /** Sends the report of a proxy. With 0 clusters the node has not read the proxy yet. */
    report(
      pod: string,
      edges: ReportedEdge[] = [],
      {
        node = 'node-1',
        clusters = 2010,
        overflow = 0,
        log,
      }: {
        node?: string;
        clusters?: number;
        overflow?: number;
        /** Of an access log: no filter reports. */
        log?: { source: string; secondsUnbroken: number };
      } = {},
    ) {
      messages.onReport(node, {
        namespace: 'shop',
        pod,
        podUid: uidOf(pod),
        filterVersion: log ? '' : '1',
        ...log,
        edges,
        overflow,
        secondsSinceHeartbeat: 0,
        ...(clusters > 0 && {
          stats: { allocatedBytes: clusters * 75e3, physicalBytes: 0, clusters },
        }),
      });
    },
    /** Sends a report for any pod, as a faulty or hostile node might. */
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
    stop: engine.stop,
  };
}

function settingsOf({ learningWindowMs, ttlMs, silenceMs, guard, withdrawal }: Partial<Life> = {}) {
  return {
    ...(withdrawal && {
      withdrawWorkloads: withdrawal.workloadsPerMinute,
      withdrawMegabytes: withdrawal.bytesPerMinute / 1e6,
    }),
    ...(guard && { shrinkPercent: guard.share * 100, shrinkCount: guard.count }),
    ...(learningWindowMs !== undefined && { learningWindowSeconds: learningWindowMs / 1000 }),
    ...(ttlMs !== undefined && { ttlSeconds: ttlMs / 1000 }),
    ...(silenceMs !== undefined && { silenceSeconds: silenceMs / 1000 }),
  };
}

/** The sink, with a count of its calls in flight. */
function countCalls(sink: Sink): Sink & { calls(): number } {
  let calls = 0;
  const counted =
    <Args extends unknown[], Result>(call: (...args: Args) => Promise<Result>) =>
    async (...args: Args): Promise<Result> => {
      calls += 1;
      return call(...args).finally(() => {
        calls -= 1;
      });
    };
  const { apply, delete: remove, tell } = sink;
  const methods = { apply: counted(apply), delete: counted(remove), tell: counted(tell) };
  return { ...sink, ...methods, calls: () => calls };
}
