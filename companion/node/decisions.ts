import { createQuota } from '../bounds/quota.ts';
import type { Answer } from '../contract/rpc.ts';
import { keyOf } from '../contract/rpc.ts';
import type { CompactAnswer } from '../core/compact/answer.ts';
import type { UnknownCall } from '../core/first-call/resolve.ts';
import { problemOf } from './answer-check.ts';
import { createAnswers, type KnownAnswer } from './answers.ts';
import type { NodeMetrics } from './metrics.ts';
import type { Pod } from './pods.ts';

/** Asks the controllers; undefined if none answered in time. */
export type Ask = (pod: Pod, call: UnknownCall) => Promise<Answer | undefined>;

export type TimedAnswer = {
  answer: Answer;
  /** Whole seconds for which the caller may keep the answer: the rest of its time to live. */
  ttlSeconds: number;
};

export type MaybeLater<Value> = Value | Promise<Value>;

export type Decisions = {
  /**
   * The answer for this caller: from the cache, from the compact catalog, from a controller, or, if
   * no controller answers, from a catalog that may be old, or the last known answer of any age.
   * Undefined if there is none; the filter then falls back. A promise only if a controller is
   * asked: a call waits for what is known here.
   */
  decide(pod: Pod, call: UnknownCall): MaybeLater<TimedAnswer | undefined>;
};

export type DecisionBounds = {
  /** 110 pods with 50 unlearned destinations each; about 500 bytes an answer: 4 MB. */
  answers: number;
  /** Of one pod template, so that it takes no answer from the others. */
  answersPerCaller: number;
  /** Questions open at once; each waits 150 ms at most, so this is 6,800 a second. */
  open: number;
  /** Of one pod template: 200 questions a second, of four pods with a burst. */
  openPerCaller: number;
};

export const decisionBounds: DecisionBounds = {
  answers: 8192,
  answersPerCaller: 1024,
  open: 1024,
  openPerCaller: 256,
};

/** Time to live of an outdated answer: the filter asks again soon, but not for each call. */
const staleTtlSeconds = 1;
const ttlRange = { min: 1, max: 3600 };

export type DecisionsOptions = {
  ask: Ask;
  /** What the compact catalog says. */
  lookUp(pod: Pod, call: UnknownCall): CompactAnswer | undefined;
  metrics: NodeMetrics;
  now: () => number;
  bounds?: DecisionBounds;
};

export function createDecisions(options: DecisionsOptions): Decisions {
  const { ask, lookUp, metrics, now, bounds = decisionBounds } = options;
  const known = createAnswers(bounds, () => metrics.evicted.inc({ table: 'decisions' }));
  const open = new Map<string, Promise<Answer | undefined>>();
  const openOf = createQuota({ all: bounds.open, perKey: bounds.openPerCaller });

  function keep(caller: string, call: string, answer: Answer): void {
    const ttl = Math.min(Math.max(answer.ttlSeconds, ttlRange.min), ttlRange.max);
    known.set(caller, call, { answer, expiresAt: now() + ttl * 1000 });
    metrics.decisions.set(known.size());
  }

  /** Callers with the same question wait for the same answer. */
  function askOnce(text: string, pod: Pod, call: UnknownCall): Promise<Answer | undefined> {
    const caller = pod.callerKey;
    const key = `${caller}\n${text}`;
    const asked = open.get(key);
    if (asked) return asked;
    if (!openOf.enter(caller)) {
      metrics.evicted.inc({ table: 'questions' });
      return Promise.resolve(undefined);
    }
    const asking = ask(pod, call)
      .then((answer) => {
        if (answer) keep(caller, text, answer);
        return answer;
      })
      .finally(() => {
        open.delete(key);
        openOf.leave(caller);
      });
    open.set(key, asking);
    return asking;
  }

  /** Controllers learn every call, and the answer of one replaces the catalog's if they differ. */
  async function confirm(key: string, pod: Pod, call: UnknownCall, own: Answer): Promise<void> {
    const told = await askOnce(key, pod, call);
    if (told && !isSame(told, own)) metrics.corrected.inc();
  }

  async function askFor(
    key: string,
    pod: Pod,
    call: UnknownCall,
    { own, entry }: { own: Answer | undefined; entry: KnownAnswer | undefined },
  ): Promise<TimedAnswer | undefined> {
    const answer = await askOnce(key, pod, call);
    if (answer) {
      metrics.questions.inc({ source: 'controller' });
      return timed(answer);
    }
    if (own) {
      metrics.questions.inc({ source: 'catalog' });
      return timed(own);
    }
    const stale = known.get(pod.callerKey, key) ?? entry;
    metrics.questions.inc({ source: stale ? 'stale' : 'none' });
    return stale && { answer: stale.answer, ttlSeconds: staleTtlSeconds };
  }

  return {
    decide(pod, call) {
      const key = keyOf({ unknown: call });
      const entry = known.get(pod.callerKey, key);
      if (entry && entry.expiresAt > now()) {
        known.set(pod.callerKey, key, entry);
        metrics.questions.inc({ source: 'cache' });
        const ttlSeconds = Math.max(1, Math.floor((entry.expiresAt - now()) / 1000));
        return { answer: entry.answer, ttlSeconds };
      }
      const found = lookUp(pod, call);
      const own = found && usable(answerOf(found.decision));
      if (own && found?.use === 'whole') {
        metrics.questions.inc({ source: 'catalog' });
        keep(pod.callerKey, key, own);
        // The call does not wait until the question is written to the streams.
        setImmediate(() => void confirm(key, pod, call, own));
        return timed(own);
      }
      return askFor(key, pod, call, { own: own ?? undefined, entry });
    },
  };
}

function timed(answer: Answer): TimedAnswer {
  const { min, max } = ttlRange;
  return { answer, ttlSeconds: Math.min(Math.max(answer.ttlSeconds, min), max) };
}

function answerOf(decision: CompactAnswer['decision']): Answer {
  return { id: 0, ...decision, millisecondsSinceScopeWritten: 0 };
}

function usable(answer: Answer): Answer | undefined {
  return problemOf(answer) === undefined ? answer : undefined;
}

/** Whether two answers send a call the same way. */
function isSame(one: Answer, other: Answer): boolean {
  const way = ({ strategy, otherwise, sni, identities, retries }: Answer) =>
    JSON.stringify([
      strategy,
      otherwise,
      sni,
      identities,
      retries && Object.entries(retries).sort(),
    ]);
  return way(one) === way(other);
}
