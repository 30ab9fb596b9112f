import { describe, expect, it, vi } from 'vitest';
import {
  answerOf,
  httpCall,
  podOf,
  testClock,
  testMetrics,
} from '../../../../box/played/fixtures.ts';
import type { Answer } from '../../../../companion/contract/rpc.ts';
import {
  createDecisions,
  type DecisionsOptions,
  decisionBounds,
} from '../../../../companion/node/decisions.ts';

const pod = podOf('cart');

/** Controllers whose answers the test gives one by one. */
function setUp(bounds = decisionBounds, lookUp: DecisionsOptions['lookUp'] = () => undefined) {
  const clock = testClock();
  const { metrics, value } = testMetrics();
  const asked: ((answer: Answer | undefined) => void)[] = [];
  const ask = () => new Promise<Answer | undefined>((resolve) => asked.push(resolve));
  const decisions = createDecisions({ ask, lookUp, metrics, now: clock.now, bounds });
  return { clock, value, asked, decisions };
}

describe('a decision', () => {
  it('is requested once for all waiting calls, then cached for its time to live', async () => {
    const { decisions, asked, clock } = setUp();
    const waiting = [decisions.decide(pod, httpCall), decisions.decide(pod, httpCall)];
    expect(asked).toHaveLength(1);
    asked[0]?.(answerOf({ ttlSeconds: 30 }));
    expect(await Promise.all(waiting)).toMatchObject([{ ttlSeconds: 30 }, { ttlSeconds: 30 }]);
    clock.pass(10_500);
    expect(await decisions.decide(pod, httpCall)).toMatchObject({ ttlSeconds: 19 });
    expect(asked).toHaveLength(1);
    clock.pass(19_500);
    void decisions.decide(pod, httpCall);
    expect(asked).toHaveLength(2);
  });

  it('is shared by pods of one template, and by no others', () => {
    const { decisions, asked } = setUp();
    void decisions.decide(podOf('a', { callerKey: 'rs' }), httpCall);
    void decisions.decide(podOf('b', { callerKey: 'rs' }), httpCall);
    expect(asked).toHaveLength(1);
    void decisions.decide(podOf('c'), httpCall);
    void decisions.decide(pod, { ...httpCall, authority: 'ratings' });
    void decisions.decide(pod, { ...httpCall, tcp: true });
    expect(asked).toHaveLength(4);
  });

  it('is the last one known, for a second, when no controller answers', async () => {
    const { decisions, asked, clock, value } = setUp();
    const first = decisions.decide(pod, httpCall);
    asked[0]?.(answerOf({ strategy: 'direct', ttlSeconds: 1 }));
    await first;
    clock.pass(86_400_000);
    const second = decisions.decide(pod, httpCall);
    asked[1]?.(undefined);
    expect(await second).toMatchObject({ answer: { strategy: 'direct' }, ttlSeconds: 1 });
    expect(await value('node_questions_total', { source: 'stale' })).toBe(1);
  });

  it('is none when no controller ever answered', async () => {
    const { decisions, asked } = setUp();
    const decision = decisions.decide(pod, httpCall);
    asked[0]?.(undefined);
    expect(await decision).toBeUndefined();
  });

  it('lives between a second and an hour, whatever TTL the controller sends', async () => {
    const { decisions, asked } = setUp();
    for (const [index, [ttlSeconds, expected]] of [
      [0, 1],
      [90_000, 3600],
    ].entries()) {
      const decision = decisions.decide(podOf(`p${index}`), httpCall);
      asked[index]?.(answerOf({ ttlSeconds: ttlSeconds as number }));
      expect(await decision).toMatchObject({ ttlSeconds: expected });
    }
  });
});

describe('with a compact catalog', () => {
  const { sni, identities, ttlSeconds, reason } = answerOf({});
  const ways = { strategy: 'direct' as const, otherwise: '' as const };
  const decision = { ...ways, sni, identities, ttlSeconds, reason };

  it('a call is answered at once, and the controllers are told', async () => {
    const { decisions, asked, value } = setUp(decisionBounds, () => ({ decision, use: 'whole' }));
    expect(await decisions.decide(pod, httpCall)).toMatchObject({ answer: { strategy: 'direct' } });
    // The call does not wait for that.
    expect(asked).toHaveLength(0);
    await vi.waitFor(() => expect(asked).toHaveLength(1));
    asked[0]?.(answerOf({ strategy: 'direct', reason: 'in other words' }));
    await decisions.decide(pod, httpCall);
    expect(await value('node_questions_total', { source: 'catalog' })).toBe(1);
    expect(await value('node_questions_total', { source: 'cache' })).toBe(1);
    expect(await value('node_answers_corrected_total')).toBe(0);
  });

  it('the answer of a controller replaces another one of the catalog, and is counted', async () => {
    const { decisions, asked, value } = setUp(decisionBounds, () => ({ decision, use: 'whole' }));
    await decisions.decide(pod, httpCall);
    await vi.waitFor(() => expect(asked).toHaveLength(1));
    asked[0]?.(answerOf({ strategy: 'gateway' }));
    await vi.waitFor(async () => expect(await value('node_answers_corrected_total')).toBe(1));
    expect(await decisions.decide(pod, httpCall)).toMatchObject({
      answer: { strategy: 'gateway' },
    });
  });

  it('an answer for want of a controller waits until none has answered, and beats an old one', async () => {
    let use: 'whole' | 'alone' | undefined;
    const look = () => use && { decision, use };
    const { decisions, asked, clock } = setUp(decisionBounds, look);
    const first = decisions.decide(pod, httpCall);
    asked[0]?.(answerOf({ strategy: 'hold', otherwise: 'plain', ttlSeconds: 1 }));
    await first;
    clock.pass(2_000);
    use = 'alone';
    const second = decisions.decide(pod, httpCall);
    asked[1]?.(undefined);
    expect(await second).toMatchObject({ answer: { strategy: 'direct' } });
    const third = decisions.decide(podOf('other'), httpCall);
    asked[2]?.(answerOf({ strategy: 'gateway' }));
    expect(await third).toMatchObject({ answer: { strategy: 'gateway' } });
  });

  it('an answer that a filter could not read is not given', async () => {
    const bad = { ...decision, sni: 'not\nprintable' };
    const { decisions, asked } = setUp(decisionBounds, () => ({ decision: bad, use: 'whole' }));
    const waiting = decisions.decide(pod, httpCall);
    asked[0]?.(undefined);
    expect(await waiting).toBeUndefined();
  });
});

describe('bounds', () => {
  it('evict the least recently used answer', async () => {
    const { decisions, asked, value } = setUp({ ...decisionBounds, answers: 2 });
    for (const [index, name] of ['a', 'b', 'c'].entries()) {
      const decision = decisions.decide(podOf(name), httpCall);
      asked[index]?.(answerOf());
      await decision;
    }
    expect(await value('node_evicted_total', { table: 'decisions' })).toBe(1);
    await decisions.decide(podOf('c'), httpCall);
    expect(asked).toHaveLength(3);
    void decisions.decide(podOf('a'), httpCall);
    expect(asked).toHaveLength(4);
  });

  it('answer at once when too many questions are open', async () => {
    const { decisions, asked, value } = setUp({ ...decisionBounds, open: 1 });
    void decisions.decide(podOf('a'), httpCall);
    expect(await decisions.decide(podOf('b'), httpCall)).toBeUndefined();
    expect(asked).toHaveLength(1);
    expect(await value('node_evicted_total', { table: 'questions' })).toBe(1);
  });

  it('let no caller take the answers or the open questions of another', async () => {
    const { decisions, asked } = setUp({
      answers: 20,
      answersPerCaller: 15,
      open: 6,
      openPerCaller: 4,
    });
    async function answered(name: string, authority: string) {
      const decision = decisions.decide(podOf(name), { ...httpCall, authority });
      asked.at(-1)?.(answerOf({ ttlSeconds: 600 }));
      await decision;
    }
    for (const name of ['a', 'b', 'c']) await answered(name, 'cart');
    for (let n = 0; n < 100; n++) await answered('greedy', `made-up-${n}`);
    const before = asked.length;
    for (const name of ['a', 'b', 'c']) {
      expect(await decisions.decide(podOf(name), { ...httpCall, authority: 'cart' })).toBeDefined();
    }
    expect(asked).toHaveLength(before);
    for (let n = 0; n < 10; n++)
      void decisions.decide(podOf('greedy'), { ...httpCall, authority: `new-${n}` });
    expect(asked).toHaveLength(before + 4);
    void decisions.decide(podOf('a'), { ...httpCall, authority: 'other' });
    expect(asked).toHaveLength(before + 5);
  });
});
