import type { Logger } from 'pino';
import type { Answer, Question } from '../contract/rpc.ts';
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

const strategies = new Set(['gateway', 'direct', 'hold', 'plain', 'passthrough']);
const others = new Set(['gateway', 'direct', 'plain', 'passthrough']);
const identitiesLengthMax = 2048;
const sniLengthMax = 512;
/** Printable ASCII: these become header values. */
const printable = /^[\x21-\x7e]*$/;

function problemOf({ strategy, otherwise, sni, identities }: Answer): string | undefined {
  if (!strategies.has(strategy)) return `unknown strategy ${JSON.stringify(strategy)}`;
  if (strategy === 'hold' && !others.has(otherwise)) return 'hold without a usable "otherwise"';
  if (sni.length > sniLengthMax || !printable.test(sni)) return 'sni is too long or not printable';
  const names = identities.join(',');
  if (names.length > identitiesLengthMax || !printable.test(names)) {
    return 'identities are too long or not printable';
  }
  const used = strategy === 'hold' ? otherwise : strategy;
  const isMutual = used === 'gateway' || used === 'direct';
  if (sni === '' && isMutual) return `${used} without an sni`;
  return undefined;
}
