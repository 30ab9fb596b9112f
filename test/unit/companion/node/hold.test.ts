import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { answerOf, httpCall, podOf, testMetrics } from '../../../../box/played/fixtures.ts';
import type { Answer } from '../../../../companion/contract/rpc.ts';
import { createHold, holdBounds, type Release } from '../../../../companion/node/hold.ts';

const pod = podOf('cart');

/** A clock that advances only while all callers sleep, so that times are exact. */
function sleepers() {
  let at = 0;
  const sleeping = new Set<{ due: number; wake(): void }>();
  return {
    now: () => at,
    sleep: (ms: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        const abort = () => {
          sleeping.delete(sleeper);
          reject(signal?.reason);
        };
        const wake = () => {
          signal?.removeEventListener('abort', abort);
          resolve();
        };
        const sleeper = { due: at + ms, wake };
        sleeping.add(sleeper);
        signal?.addEventListener('abort', abort);
      }),
    async runUntil(end: number) {
      for (;;) {
        await turn();
        const [next] = [...sleeping].sort((a, b) => a.due - b.due);
        if (!next || next.due > end) break;
        sleeping.delete(next);
        at = next.due;
        next.wake();
      }
      at = end;
    },
  };
}

function setUp(answers: (elapsed: number) => Partial<Answer> | undefined, bounds = holdBounds) {
  const time = sleepers();
  const { metrics, value } = testMetrics();
  const asked: number[] = [];
  const hold = createHold({
    async ask() {
      asked.push(time.now());
      const answer = answers(time.now());
      return answer && answerOf({ strategy: 'hold', otherwise: 'gateway', ...answer });
    },
    metrics,
    now: time.now,
    sleep: time.sleep,
    settleMs: 150,
    holdMs: 1000,
    bounds,
  });
  const releases: [Release, number][] = [];
  const wait = (of = pod, client = new AbortController().signal) => {
    void hold.wait(of, httpCall, client).then((release) => releases.push([release, time.now()]));
  };
  return { ...time, hold, value, asked, wait, releases };
}

const writtenAt = (ms: number) => (elapsed: number) => ({
  millisecondsSinceScopeWritten: Math.max(0, elapsed - ms),
});
const neverWritten = () => ({ millisecondsSinceScopeWritten: 0 });

describe('a held request', () => {
  it('is sent back when the scope has been written for the settling time', async () => {
    const { wait, runUntil, releases } = setUp(writtenAt(30));
    wait();
    await runUntil(2000);
    expect(releases).toEqual([['live', 180]]);
  });

  it('waits one round if the scope is settled already, because the request may have come back too early', async () => {
    const { wait, runUntil, releases } = setUp(() => ({ millisecondsSinceScopeWritten: 5000 }));
    wait();
    await runUntil(2000);
    expect(releases).toEqual([['live', 50]]);
  });

  it('is sent back at its deadline if nothing is written', async () => {
    const { wait, runUntil, releases, asked } = setUp(neverWritten);
    wait();
    await runUntil(2000);
    expect(releases).toEqual([['late', 1000]]);
    expect(asked).toHaveLength(20);
  });

  it.each([
    ['unanswered', () => undefined],
    ['changed', () => ({ strategy: 'direct' })],
  ])('is sent back after one round when the answer is %s', async (outcome, answers) => {
    const { wait, runUntil, releases } = setUp(answers);
    wait();
    await runUntil(2000);
    expect(releases).toEqual([[outcome, 50]]);
  });

  it('costs nothing more when its client is gone', async () => {
    const { wait, runUntil, releases, asked, value } = setUp(neverWritten);
    const client = new AbortController();
    wait(pod, client.signal);
    await runUntil(120);
    client.abort();
    await runUntil(2000);
    expect(releases.map(([release]) => release)).toEqual(['cancelled']);
    expect(asked).toHaveLength(3);
    expect(await value('node_held')).toBe(0);
  });

  it('shares one question a round with all others for the same destination', async () => {
    const { wait, runUntil, asked, releases } = setUp(neverWritten);
    for (let i = 0; i < 100; i++) wait();
    await runUntil(2000);
    expect(asked).toHaveLength(20);
    expect(releases).toHaveLength(100);
  });

  it('is released at once when the process stops', async () => {
    const { wait, runUntil, hold, releases } = setUp(neverWritten);
    wait();
    await runUntil(100);
    hold.stop();
    await runUntil(101);
    expect(releases.map(([release]) => release)).toEqual(['stopping']);
  });
});

describe('too many held requests', () => {
  it('are sent back at once, for the node and for each pod', async () => {
    const { wait, runUntil, releases, value } = setUp(neverWritten, { held: 3, heldPerPod: 2 });
    for (const name of ['a', 'a', 'a', 'b', 'c']) wait(podOf(name));
    await runUntil(1);
    expect(releases).toEqual([
      ['full', 0],
      ['full', 0],
    ]);
    expect(await value('node_held')).toBe(3);
    expect(await value('node_holds_total', { outcome: 'full' })).toBe(2);
  });
});
