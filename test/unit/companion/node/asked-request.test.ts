import type { IncomingMessage, ServerResponse } from 'node:http';
import { expect, it, test, vi } from 'vitest';
import { answerOf, log, podOf, testMetrics } from '../../../../box/played/fixtures.ts';
import { type AskedRequestOptions, answerAsked } from '../../../../companion/node/asked-request.ts';

const question = {
  'x-lazyscope-call': 'http',
  'x-lazyscope-authority': 'reviews:9080',
  'x-lazyscope-destination': '10.96.0.7:9080',
};

function setUp(decide: AskedRequestOptions['decisions']['decide']) {
  const { metrics, value } = testMetrics();
  const admit = Object.assign(() => ({ pod: podOf('cart') }), { forget: () => undefined });
  const options = { admit, decisions: { decide }, metrics, log };
  return {
    value,
    ask(headers: Record<string, string> = {}, method = 'GET') {
      const sent: { status?: number; headers?: Record<string, string> } = {};
      const response = {
        writeHead(status: number, given: Record<string, string>) {
          Object.assign(sent, { status, headers: given });
          return { end: () => undefined };
        },
      };
      const request = { method, headers: { ...question, ...headers } };
      answerAsked(
        options,
        request as unknown as IncomingMessage,
        response as unknown as ServerResponse,
      );
      return sent;
    },
  };
}

const known = () => ({ answer: answerOf({ strategy: 'direct' }), ttlSeconds: 7 });

test('a question whose answer is known is answered before anything else happens', () => {
  const { ask } = setUp(known);
  const { status, headers } = ask();
  expect(status).toBe(200);
  expect(headers).toMatchObject({ 'x-lazyscope-strategy': 'direct', 'x-lazyscope-ttl': '7' });
});

test('a question that waits for a controller is answered with its answer, or with 503', async () => {
  const answered = setUp(async () => known()).ask();
  const unanswered = setUp(async () => undefined).ask();
  expect([answered.status, unanswered.status]).toEqual([undefined, undefined]);
  await vi.waitFor(() => expect([answered.status, unanswered.status]).toEqual([200, 503]));
});

test('a question tells how long the one before took, as its filter measured it', async () => {
  const { ask, value } = setUp(known);
  ask({ 'x-lazyscope-took': '1500' });
  for (const took of ['long', '-1', '1e3', '12345678']) ask({ 'x-lazyscope-took': took });
  ask();
  const within = { le: 0.0015 } as unknown as Record<string, string>;
  expect(await value('node_question_seconds', within)).toBe(1);
  const less = { le: 0.0012 } as unknown as Record<string, string>;
  expect(await value('node_question_seconds', less)).toBe(0);
});

it.each([
  [
    'throws',
    () => {
      throw new Error('a bug');
    },
  ],
  [
    'rejects',
    async () => {
      throw new Error('a bug');
    },
  ],
])('a decision that %s is answered 500 and counted', async (_, decide) => {
  const { ask, value } = setUp(decide);
  const sent = ask();
  await vi.waitFor(() => expect(sent.status).toBe(500));
  expect(await value('node_refused_total', { reason: 'internal' })).toBe(1);
});

test('what is no question is refused', () => {
  const { ask } = setUp(known);
  expect(ask({}, 'POST').status).toBe(404);
  expect(ask({ 'x-lazyscope-destination': 'nowhere' }).status).toBe(400);
});
