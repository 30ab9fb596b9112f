import type { Logger } from 'pino';
import type { Answer, Question } from '../contract/rpc.ts';
import { problemOf } from './answer-check.ts';
import type { Ask } from './decisions.ts';
import type { NodeMetrics } from './metrics.ts';

export type Questions = {
  ask: Ask;
  /** Handles a controller's answer; only the first answer to a question counts. */
  answered(answer: Answer): void;
};

export type QuestionsOptions = {
  /**
   * Sends to every connected controller and returns how many. All controllers get the question at
   * once, because each learns the call from it, and the fastest answer counts.
   */
  send(question: Question): number;
  answerMs: number;
  metrics: NodeMetrics;
  log: Logger;
  now: () => number;
};

export function createQuestions(options: QuestionsOptions): Questions {
  const { send, answerMs, metrics, log, now } = options;
  const waiting = new Map<number, (answer: Answer | undefined) => void>();
  let lastId = 0;

  return {
    async ask(pod, call) {
      lastId += 1;
      const id = lastId;
      const { namespace, name, uid } = pod;
      const asked = now();
      if (send({ id, namespace, pod: name, podUid: uid, call }) === 0) return undefined;
      const answer = await new Promise<Answer | undefined>((resolve) => {
        const timer = setTimeout(resolve, answerMs, undefined);
        waiting.set(id, (first) => {
          clearTimeout(timer);
          resolve(first);
        });
      });
      waiting.delete(id);
      if (!answer) return undefined;
      metrics.answerSeconds.observe((now() - asked) / 1000);
      metrics.lastAnswer.setToCurrentTime();
      return answer;
    },
    answered(answer) {
      const resolve = waiting.get(answer.id);
      if (!resolve) return;
      const problem = problemOf(answer);
      if (problem) {
        // Keep waiting: another controller may have a better answer.
        log.error({ answer, problem }, 'unusable answer');
        return;
      }
      waiting.delete(answer.id);
      resolve(answer);
    },
  };
}
