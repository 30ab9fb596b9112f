import type { Answer, ProxyGone, ProxyReport, Question } from '../../contract/rpc.ts';
import type { History } from '../../core/history/history.ts';
import { acceptedLabels } from '../../core/mesh/node-features.ts';
import type { PodRecord } from '../../core/mesh/pod-record.ts';
import type { Sighting } from '../../core/scope/edges.ts';
import { liveMs, type ProxyState } from '../../core/scope/proxies.ts';
import { usageGrain } from '../../core/scope/status.ts';
import type { ControllerMetrics } from '../metrics.ts';
import type { Life } from '../reconcile/inputs.ts';
import type { State } from '../state/state.ts';
import { modeOf } from '../state/workload-mode.ts';
import { answer } from './answer.ts';
import { createAwaitedPods, isKnown } from './awaited-pods.ts';
import { type Learning, learnHost, learnReport } from './learn.ts';
import type { AnswerConfig } from './mesh-view.ts';
import type { NodeHandlers } from './rated.ts';
import { countingOf, noteFirstCall } from './remember.ts';

export type NodeMessages = NodeHandlers & {
  /** Pods that were unknown when their node reported them, and are known now; each once. */
  takeArrived(): { namespace: string; pod: string }[];
};

export type NodeMessagesOptions = {
  state: State;
  metrics: ControllerMetrics;
  config: AnswerConfig;
  life: Pick<Life, 'ttlMs'>;
  history: History;
  now: () => number;
  onFollow: NodeHandlers['onFollow'];
  /** Marks a workload, `namespace/name`, for reconciliation, due after `afterMs` milliseconds. */
  mark(key: string, urgent: boolean, afterMs?: number): void;
};

/**
 * Pause in milliseconds before the scope of a first call is written, unless the call waits for it.
 * First calls come in bursts, when a workload starts, and each write makes istiod process every
 * proxy; and a call that has its answer takes 5 to 30 ms, in which it should not share the cores
 * with the API server, istiod and the configuration of its own proxy.
 */
export const burstMs = 30;

/** Handles the messages of node companions: reports, farewells, questions. */
export function createNodeMessages(options: NodeMessagesOptions): NodeMessages {
  const { state, metrics, config, life, history, now, mark } = options;
  const awaited = createAwaitedPods({ catalog: state.catalog, metrics, now });
  const learning: Learning = {
    state,
    metrics,
    clusterDomain: config.clusterDomain,
    gatewayHost: config.gatewayHost,
    ttlMs: life.ttlMs,
    now,
    onSeen: (pod, sighting) => markSeen(pod, sighting, 0),
    noteFirstCall: (pod, host) =>
      noteFirstCall(history, state, { pod, host, strategy: 'access-log', at: now() }),
    counting: (pod) => countingOf(history, state, pod, now()),
  };

  /** Every report repeats destinations in use, which changes nothing. */
  function markSeen(pod: PodRecord, sighting: Sighting, afterMs: number): void {
    if (sighting !== 'again') markOf(pod, sighting === 'first', afterMs);
  }

  function markOf(pod: PodRecord, urgent: boolean, afterMs = 0): void {
    const workload = state.workloadOf(pod);
    if (!workload) return;
    const { namespace, name } = workload;
    // Without a Sidecar to write, nothing is urgent.
    mark(`${namespace}/${name}`, urgent && modeOf(state, workload) === 'enforce', afterMs);
  }

  /** The pod as the API server has it. A node companion reports for its own pods only. */
  function podOf(
    node: string,
    { namespace, pod: name, podUid }: Question | ProxyReport,
  ): PodRecord | 'unknown' | 'foreign' {
    const pod = state.catalog.pod(namespace, name);
    if (pod && isKnown(pod, podUid)) return pod.node === node ? pod : 'foreign';
    awaited.add(node, { namespace, pod: name, podUid });
    return 'unknown';
  }

  function noteRouteless(pod: PodRecord, entry: string): void {
    metrics.heldInVain.inc();
    const workload = state.workloadOf(pod);
    if (!workload) return;
    state.missingRoutes.note(`${workload.namespace}/${workload.name}`, entry);
    markOf(pod, false);
  }

  return {
    onFollow: options.onFollow,
    onOpened: (node) => state.nodeStreams.opened(node, now()),
    onClosed(node) {
      state.nodeStreams.closed(node);
      if (state.nodeStreams.since(node) === undefined) state.nodeLabels.delete(node);
    },
    onFeatures: (node, { labels }) => void state.nodeLabels.set(node, acceptedLabels(labels)),
    onReport(node, report) {
      const pod = podOf(node, report);
      // A report about an unknown pod is not kept: its node is asked again when the pod is known.
      // Until then the pod may be made up, or have the name of another node's pod.
      if (typeof pod === 'string') {
        const reason = pod === 'foreign' ? 'pod of another node' : 'unknown pod';
        metrics.ignored.inc({ reason }, Math.max(1, report.edges.length));
        return;
      }
      const wasLive = isLive(state, pod, now());
      const before = state.proxies.of(pod);
      learnReport(learning, pod, report);
      const after = state.proxies.of(pod);
      const { clusters } = before?.stats ?? {};
      // A user may be watching a namespace that was just enabled.
      if (!wasLive && isLive(state, pod, now())) markOf(pod, true);
      else if (clusters !== after?.stats?.clusters) markOf(pod, clusters === undefined);
      else if (before && after && isNews(before, after)) markOf(pod, false);
    },
    onGone(node, { namespace, pod, podUid }: ProxyGone) {
      const known = state.catalog.pod(namespace, pod);
      if (known?.uid === podUid && known.node !== node) {
        metrics.ignored.inc({ reason: 'pod of another node' });
        return;
      }
      state.proxies.gone({ namespace, pod, uid: podUid });
      if (known) markOf(known, false);
      history.counters.forget(podUid);
    },
    onQuestion(node, question): Answer {
      const end = metrics.answerSeconds.startTimer();
      const pod = podOf(node, question);
      const { learn, routeless, ...decision } =
        pod === 'foreign' || !question.call
          ? refusal
          : answer(
              state,
              config,
              { namespace: question.namespace, pod: pod === 'unknown' ? undefined : pod },
              question.call,
              now(),
            );
      if (learn && typeof pod === 'object') {
        const { strategy } = decision;
        const afterMs = strategy === 'hold' ? 0 : burstMs;
        const asked: Learning = {
          ...learning,
          onSeen: (of, sighting) => markSeen(of, sighting, afterMs),
        };
        if (learnHost(asked, pod, learn, now())) {
          noteFirstCall(history, state, { pod, host: learn, strategy, at: now() });
        }
        // Its scope lacks a destination that may be known for long.
        markOf(pod, false);
      }
      if (routeless && typeof pod === 'object') noteRouteless(pod, routeless);
      metrics.questions.inc({ strategy: decision.strategy });
      end();
      return { id: question.id, ...decision };
    },
    takeArrived: awaited.takeArrived,
  };
}

function isLive({ proxies }: State, pod: PodRecord, now: number): boolean {
  return now - (proxies.of(pod)?.heartbeatAt ?? 0) <= liveMs;
}

/** Destinations were dropped, or the memory is another one than a status would show. */
function isNews(before: ProxyState, after: ProxyState): boolean {
  const [bytes = 0, now = 0] = [before, after].map(({ stats }) => stats?.allocatedBytes);
  return after.overflow > before.overflow || Math.abs(now - bytes) > usageGrain * bytes;
}

const refusal: ReturnType<typeof answer> = {
  strategy: 'passthrough',
  otherwise: '',
  sni: '',
  identities: [],
  ttlSeconds: 5,
  reason: 'the pod is not on the node that asks',
  millisecondsSinceScopeWritten: 0,
  learn: undefined,
};
