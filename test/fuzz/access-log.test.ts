import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { entryOf, framed, logMessage } from '../../box/played/log-messages.ts';
import { decodeLogMessage } from '../../companion/contract/access-log.ts';
import { usesOf } from '../../companion/core/first-call/logged-call.ts';
import { createFrames } from '../../companion/node/grpc-frames.ts';
import { bytes, fuzz, fuzzTimeoutMs, mutated, text } from './fuzz.ts';

vi.setConfig({ testTimeout: fuzzTimeoutMs });

const entry = fc
  .tuple(text, text, fc.nat(40), fc.boolean())
  .map(([upstreamCluster, authority, accessLogType, intermediateLogEntry]) => ({
    common: { ...entryOf(upstreamCluster).common, accessLogType, intermediateLogEntry },
    request: { authority },
  }));
const message = fc
  .tuple(fc.constantFrom('http' as const, 'tcp' as const), fc.array(entry, { maxLength: 5 }))
  .map(([kind, entries]) => new Uint8Array(logMessage(kind, entries)));

test('any bytes are calls with bounded text, and no more of them than the bytes allow', async () => {
  await fuzz(
    fc.property(fc.oneof(bytes, message, mutated(message)), (body) => {
      const { calls, broken } = decodeLogMessage(Buffer.from(body));
      expect(calls.length).toBeLessThanOrEqual(Math.ceil(body.length / 64));
      expect(broken).toBeGreaterThanOrEqual(0);
      for (const call of calls) {
        expect(call.cluster.length + call.name.length).toBeLessThanOrEqual(1_200);
        for (const { edge } of usesOf(call))
          expect(JSON.stringify(edge).length).toBeLessThan(2_000);
      }
    }),
  );
});

test('any bytes in any parts never hold more memory than was reserved', async () => {
  const body = fc.oneof(
    bytes,
    fc
      .array(message, { maxLength: 4 })
      .map((each) => Buffer.concat(each.map((one) => framed(Buffer.from(one))))),
  );
  await fuzz(
    fc.property(fc.oneof(body, mutated(body)), fc.integer({ min: 1, max: 300 }), (all, step) => {
      let reserved = 0;
      const frames = createFrames({
        bytesMax: 1_000,
        reserve(more) {
          expect(more).toBeLessThanOrEqual(1_000);
          reserved += more;
          return true;
        },
        release: (less) => {
          reserved -= less;
        },
        onMessage: (each) => expect(each.length).toBeLessThanOrEqual(1_000),
        onSkipped: () => undefined,
      });
      const chunks = Buffer.from(all);
      for (let at = 0; at < chunks.length; at += step) {
        if (!frames.push(chunks.subarray(at, at + step))) break;
        expect(reserved).toBeGreaterThanOrEqual(0);
        expect(reserved).toBeLessThanOrEqual(1_000);
      }
      frames.end();
      expect(reserved).toBe(0);
    }),
  );
});

test('messages come out of the parts as they went in', async () => {
  await fuzz(
    fc.property(
      fc.array(bytes, { maxLength: 5 }),
      fc.integer({ min: 1, max: 50 }),
      (sent, step) => {
        const received: Buffer[] = [];
        const frames = createFrames({
          ...{ bytesMax: 2_000, reserve: () => true, release: () => undefined },
          onMessage: (each) => received.push(Buffer.from(each)),
          onSkipped: () => expect.unreachable(),
        });
        const all = Buffer.concat(sent.map((each) => framed(Buffer.from(each))));
        for (let at = 0; at < all.length; at += step) frames.push(all.subarray(at, at + step));
        expect(received).toEqual(sent.map((each) => Buffer.from(each)));
      },
    ),
  );
});
