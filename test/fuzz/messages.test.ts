import { validateHeaderValue } from 'node:http';
import fc from 'fast-check';
import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import { podOf, testMetrics } from '../../box/played/fixtures.ts';
import {
  type Answer,
  type ControllerMessage,
  controllerService,
  type NodeMessage,
} from '../../companion/contract/rpc.ts';
import { answerHeaders } from '../../companion/node/asked-request.ts';
import { createQuestions } from '../../companion/node/questions.ts';
import { bytes, fuzz, fuzzTimeoutMs, mutated, text } from './fuzz.ts';

vi.setConfig({ testTimeout: fuzzTimeoutMs });

const method = Object.values(controllerService)[0] as (typeof controllerService)['connect'];
const message: fc.Arbitrary<NodeMessage> = fc.record({
  question: fc.record({
    id: fc.nat(),
    namespace: text,
    pod: text,
    podUid: text,
    call: fc.record({ tcp: fc.boolean(), authority: text, destination: text }),
  }),
});
const encoded = message.map((each) => new Uint8Array(method.requestSerialize(each)));

test('any bytes on a stream are a message or an error of the decoder', async () => {
  await fuzz(
    fc.property(fc.oneof(bytes, encoded, mutated(encoded)), (body) => {
      let read: NodeMessage;
      try {
        read = method.requestDeserialize(Buffer.from(body));
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
        return;
      }
      expect(typeof (read.question?.namespace ?? '')).toBe('string');
      expect(Array.isArray(read.report?.edges ?? [])).toBe(true);
    }),
  );
});

const answer: fc.Arbitrary<Answer> = fc.record({
  id: fc.constant(1),
  strategy: fc.oneof(text, fc.constantFrom('gateway', 'direct', 'hold', 'plain', 'passthrough')),
  otherwise: fc.oneof(text, fc.constantFrom('gateway', 'direct', 'passthrough')),
  sni: text,
  identities: fc.array(text, { maxLength: 4 }),
  ttlSeconds: fc.nat(),
  millisecondsSinceScopeWritten: fc.integer(),
  reason: text,
});
const answered = answer.map(
  (each) => new Uint8Array(method.responseSerialize({ answer: each } as ControllerMessage)),
);

test('any bytes of a controller become valid headers for a filter, or no answer', async () => {
  await fuzz(
    fc.asyncProperty(fc.oneof(bytes, answered, mutated(answered)), async (body) => {
      let read: ControllerMessage;
      try {
        read = method.responseDeserialize(Buffer.from(body));
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
        return;
      }
      const questions = createQuestions({
        send: () => 1,
        answerMs: 1,
        ...testMetrics(),
        log: pino({ level: 'silent' }),
        now: () => performance.now(),
      });
      const call = { tcp: true, authority: '', destination: '10.96.0.1:80' };
      const asked = questions.ask(podOf('web'), call);
      if (read.answer) questions.answered({ ...read.answer, id: 1 });
      const given = await asked;
      for (const [name, value] of Object.entries(given ? answerHeaders(given, 30) : {})) {
        validateHeaderValue(name, value);
        expect(value.length).toBeLessThanOrEqual(2_048);
      }
    }),
  );
});
