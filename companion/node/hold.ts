import type { Answer } from '../contract/rpc.ts';
import { keyOf } from '../contract/rpc.ts';
import type { UnknownCall } from '../core/first-call/resolve.ts';
import type { Ask } from './decisions.ts';
import type { NodeMetrics } from './metrics.ts';
import type { Pod } from './pods.ts';

/** The reason why a held request was released; in every case its proxy decides again. */
export type Release =
  /** The scope was written long enough ago to be live. */
  | 'live'
  /** The longest time of a round has passed. */
  | 'late'
  /** The new answer is not to hold. */
  | 'changed'
  /** No controller answered. */
  | 'unanswered'
  /** Too many requests are already held, so this request was not held. */
  | 'full'
  /** The process stops. */
  | 'stopping'
  /** The client went away. */
  | 'cancelled';

export type Hold = {
  /** Resolves when the request should be sent back to its proxy. */
  wait(pod: Pod, call: UnknownCall, client: AbortSignal): Promise<Release>;
  /** Releases every held request. */
  stop(): void;
};

export type HoldBounds = {
  /** Held at once on this node; each is a socket, a timer and two promises, about 15 KB: 15 MB. */
  held: number;
  /** Held at once for one pod, so that one pod cannot use up the node's share. */
  heldPerPod: number;
};

export const holdBounds: HoldBounds = { held: 1024, heldPerPod: 256 };

/** How often to ask about a scope that is not yet written, and the pause before another try. */
const roundMs = 50;

export type HoldOptions = {
  ask: Ask;
  metrics: NodeMetrics;
  now: () => number;
  /** Rejects when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** A written scope is assumed to be live after this time. */
  settleMs: number;
  /** Longest time of one wait. */
  holdMs: number;
  bounds?: HoldBounds;
};

export function createHold(options: HoldOptions): Hold {
  const { metrics, now, bounds = holdBounds } = options;
  /** One for each held request. (AbortSignal.any would leak memory in a long-lived signal.) */
  const leaves = new Set<AbortController>();
  let stopping = false;
  const heldByPod = new Map<string, number>();
  const askShared = shareAnswers(options);
  let held = 0;

  function count(pod: Pod, change: 1 | -1): void {
    held += change;
    metrics.held.set(held);
    const ofPod = (heldByPod.get(pod.uid) ?? 0) + change;
    if (ofPod > 0) heldByPod.set(pod.uid, ofPod);
    else heldByPod.delete(pod.uid);
  }

  async function waitCounted(pod: Pod, call: UnknownCall, client: AbortSignal): Promise<Release> {
    const ofPod = heldByPod.get(pod.uid) ?? 0;
    if (stopping) return 'stopping';
    if (held >= bounds.held || ofPod >= bounds.heldPerPod) return 'full';
    count(pod, 1);
    const leave = new AbortController();
    leaves.add(leave);
    client.addEventListener('abort', () => leave.abort(), { once: true });
    try {
      return await waitUntilLive({ ...options, ask: askShared }, pod, call, leave.signal);
    } catch (error) {
      if (!leave.signal.aborted) throw error;
      return client.aborted ? 'cancelled' : 'stopping';
    } finally {
      leaves.delete(leave);
      count(pod, -1);
    }
  }

  return {
    async wait(pod, call, client) {
      const started = now();
      const outcome = await waitCounted(pod, call, client);
      metrics.holds.inc({ outcome });
      metrics.holdSeconds.observe((now() - started) / 1000);
      return outcome;
    },
    stop() {
      stopping = true;
      for (const leave of leaves) leave.abort();
    },
  };
}

async function waitUntilLive(
  { ask, now, sleep, settleMs, holdMs }: HoldOptions,
  pod: Pod,
  call: UnknownCall,
  signal: AbortSignal,
): Promise<Release> {
  const end = now() + holdMs;
  while (now() < end) {
    const answer = await ask(pod, call);
    signal.throwIfAborted();
    const written = answer?.millisecondsSinceScopeWritten ?? 0;
    // If the scope is already settled, the request came back too early, or arrived in between. It
    // waits one round; otherwise it would use up its redirects within milliseconds.
    const pause = written > 0 ? Math.max(settleMs - written, roundMs) : roundMs;
    await sleep(Math.min(pause, Math.max(0, end - now())), signal);
    if (!answer) return 'unanswered';
    if (answer.strategy !== 'hold') return 'changed';
    if (written > 0) return 'live';
  }
  return 'late';
}

/** Requests that are held for the same destination share one question per round. */
function shareAnswers({ ask, now, sleep }: HoldOptions): Ask {
  type Shared = { askedAt: number; answer: Promise<Answer | undefined> };
  const shared = new Map<string, Shared>();
  return (pod, call) => {
    const key = `${pod.callerKey}\n${keyOf({ unknown: call })}`;
    const recent = shared.get(key);
    if (recent && now() - recent.askedAt < roundMs / 2) return recent.answer;
    const fresh = { askedAt: now(), answer: ask(pod, call) };
    shared.set(key, fresh);
    // Entries live as long as a round, so there are no more of them than held requests.
    void sleep(roundMs).then(() => shared.get(key) === fresh && shared.delete(key));
    return fresh.answer;
  };
}
