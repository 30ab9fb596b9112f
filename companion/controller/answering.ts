import { liveMs } from '../core/proxies.ts';
import type { PodRecord } from '../core/records.ts';
import type { Answer, ProxyGone, ProxyReport, Question } from '../rpc.ts';
import { type AnswerConfig, answer } from './answer.ts';
import { type Learning, learnHost, learnReport } from './learn.ts';
import type { ControllerMetrics } from './metrics.ts';
import type { NodeHandlers } from './nodes.ts';
import type { State } from './state.ts';

export type Answering = NodeHandlers & {
  /** Pods that were unknown when their node spoke of them and are known now; each once. */
  takeArrived(): { namespace: string; pod: string }[];
};

export type AnsweringOptions = {
  state: State;
  metrics: ControllerMetrics;
  config: AnswerConfig;
  now: () => number;
  /** Marks a workload, `namespace/name`, for a look. */
  mark(key: string, urgent: boolean): void;
};

/** Pods that nodes spoke of before the watch did; the watch is late by seconds, not by thousands. */
const awaitedMax = 1_000;
const awaitedMs = 60_000;

/** Turns the words of nodes into knowledge, and questions into answers. */
export function createAnswering(options: AnsweringOptions): Answering {
  const { state, metrics, config, now, mark } = options;
  const awaited = new Map<string, { namespace: string; pod: string; until: number }>();
  const learning: Learning = {
    state,
    metrics,
    clusterDomain: config.clusterDomain,
    gatewayHost: config.gatewayHost,
    now,
    onSeen: (pod, sighting) => markOf(pod, sighting === 'first'),
  };

  function markOf(pod: PodRecord, urgent: boolean): void {
    const workload = state.workloadOf(pod);
    if (!workload) return;
    const { namespace, name } = workload;
    const mode = state.scopes.get(namespace, name)?.mode ?? state.namespaces.get(namespace)?.mode;
    // Without a Sidecar to write nobody waits.
    mark(`${namespace}/${name}`, urgent && mode === 'enforce');
  }

  /** The pod as the API server has it. A node speaks for its own pods only. */
  function podOf(
    node: string,
    { namespace, pod: name, podUid }: Question | ProxyReport,
  ): PodRecord | 'unknown' | 'foreign' {
    const pod = state.catalog.pod(namespace, name);
    if (pod?.uid === podUid) return pod.node === node ? pod : 'foreign';
    if (awaited.size < awaitedMax) {
      const until = now() + awaitedMs;
      awaited.set(`${namespace}/${name}`, { namespace, pod: name, until });
    } else {
      metrics.ignored.inc({ reason: 'too many unknown pods' });
    }
    return 'unknown';
  }

  return {
    onReport(node, report) {
      const pod = podOf(node, report);
      if (pod === 'foreign') {
        metrics.ignored.inc({ reason: 'pod of another node' });
        return;
      }
      if (pod === 'unknown') return learnReport(learning, report);
      const wasLive = isLive(state, pod, now());
      const clusters = state.proxies.of(pod)?.stats?.clusters;
      learnReport(learning, report);
      const after = state.proxies.of(pod)?.stats?.clusters;
      // Somebody may be watching how a namespace comes in.
      if (!wasLive && isLive(state, pod, now())) markOf(pod, true);
      else if (clusters !== after) markOf(pod, clusters === undefined);
    },
    onGone(_node, { namespace, pod, podUid }: ProxyGone) {
      state.proxies.gone({ namespace, pod, uid: podUid });
    },
    onQuestion(node, question): Answer {
      const end = metrics.answerSeconds.startTimer();
      const pod = podOf(node, question);
      const { learn, ...decision } =
        pod === 'foreign' || !question.call
          ? refusal
          : answer(
              state,
              config,
              { namespace: question.namespace, pod: pod === 'unknown' ? undefined : pod },
              question.call,
              now(),
            );
      if (learn && typeof pod === 'object') learnHost(learning, pod, learn, now());
      metrics.questions.inc({ strategy: decision.strategy });
      end();
      return { id: question.id, ...decision };
    },
    takeArrived() {
      const arrived: { namespace: string; pod: string }[] = [];
      for (const [key, { namespace, pod, until }] of awaited) {
        const known = state.catalog.pod(namespace, pod) !== undefined;
        if (known) arrived.push({ namespace, pod });
        if (known || until < now()) awaited.delete(key);
      }
      return arrived;
    },
  };
}

function isLive({ proxies }: State, pod: PodRecord, now: number): boolean {
  return now - (proxies.of(pod)?.heartbeatAt ?? 0) <= liveMs;
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
