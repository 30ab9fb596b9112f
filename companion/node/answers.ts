import type { Answer } from '../contract/rpc.ts';

export type KnownAnswer = { answer: Answer; expiresAt: number };

/** Answers by caller (pods of one template) and call. */
export type Answers = {
  get(caller: string, call: string): KnownAnswer | undefined;
  /** Keeps the answer as the last used one of its caller. */
  set(caller: string, call: string, known: KnownAnswer): void;
  size(): number;
};

/**
 * A full table loses the least recently used answer of the caller that has the most, so a caller
 * that asks about made-up names takes no answer from the others.
 */
export function createAnswers(
  bounds: { answers: number; answersPerCaller: number },
  onEvicted: () => void,
): Answers {
  const callers = new Map<string, Map<string, KnownAnswer>>();
  let size = 0;

  function evict(caller: string): void {
    const known = callers.get(caller);
    const [oldest] = known?.keys() ?? [];
    if (!known || oldest === undefined) return;
    known.delete(oldest);
    if (known.size === 0) callers.delete(caller);
    size -= 1;
    onEvicted();
  }

  return {
    get: (caller, call) => callers.get(caller)?.get(call),
    set(caller, call, answer) {
      const known = callers.get(caller) ?? new Map<string, KnownAnswer>();
      callers.delete(caller);
      callers.set(caller, known);
      if (!known.delete(call)) size += 1;
      known.set(call, answer);
      if (known.size > bounds.answersPerCaller) evict(caller);
      if (size <= bounds.answers) return;
      // Of those with the most, the one that was answered longest ago.
      let [largest, most] = [caller, 0];
      for (const [each, { size: count }] of callers)
        if (count > most) [largest, most] = [each, count];
      evict(largest);
    },
    size: () => size,
  };
}
