import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { LoaderRefusal, readAnswer } from '../../companion/bypass/loader.ts';
import { readCandidate } from '../../companion/bypass/policy.ts';
import type { KubeObject } from '../../companion/kube/object.ts';
import { anything, fuzz, fuzzTimeoutMs, mutated, text } from './fuzz.ts';

vi.setConfig({ testTimeout: fuzzTimeoutMs });

const commands = ['probe', 'start', 'policy', 'selftest', 'stats', 'off', 'drain'] as const;
const answers = [
  { kernel: '6.18.0', architecture: 'x86_64', btf: true },
  { refused: [{ cgroup: '/a', reason: 'gone', error: 'ENOENT' }], cgroups: 1 },
  { checks: { order: 'passed' }, passed: true },
  { connections: 3 },
];
const line = fc.oneof(
  text,
  fc.json(),
  fc
    .tuple(fc.boolean(), fc.constantFrom(...commands), fc.constantFrom(...answers), anything)
    .map(([ok, cmd, body, reason]) => JSON.stringify({ ok, cmd, ...body, reason })),
);
const broken = mutated(line.map((each) => new Uint8Array(Buffer.from(each)))).map((bytes) =>
  Buffer.from(bytes).toString(),
);

test('the companion reads any line of a loader as the expected answer or as an error', async () => {
  const property = fc.property(
    fc.constantFrom(...commands),
    fc.oneof(line, broken),
    (command, given) => {
      try {
        const answer = readAnswer(command, given);
        expect(JSON.parse(given)).toMatchObject({ ok: true, ...answer });
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
        if (error instanceof LoaderRefusal) expect(error.message).toContain(command);
      }
    },
  );
  await fuzz(property);
});

const pod = fc.record({
  apiVersion: fc.constant('v1'),
  kind: fc.constant('Pod'),
  metadata: fc.record({
    name: fc.constant('web'),
    namespace: fc.constant('shop'),
    uid: fc.constant('uid'),
    annotations: fc.record({
      'lazyscope.io/bypass': fc.constant('enabled'),
      'lazyscope.io/bypass-exclude-ports': fc.oneof(
        text,
        fc.array(fc.oneof(text, fc.nat(70_000).map(String))).map((parts) => parts.join(',')),
      ),
    }),
  }),
  spec: fc.record({
    hostNetwork: fc.boolean(),
    containers: fc.array(fc.record({ name: text, image: text }), { maxLength: 3 }),
  }),
  status: fc.record({ phase: text, qosClass: text }),
}) as fc.Arbitrary<KubeObject>;

test('for any annotations a pod is served with valid ports or refused with a reason', async () => {
  await fuzz(
    fc.property(pod, (given) => {
      const candidate = readCandidate(given);
      for (const port of candidate?.ports ?? []) {
        expect(Number.isInteger(port) && port > 0 && port < 65_536).toBe(true);
      }
      expect(candidate?.refused).not.toBe('');
      if (given.spec.hostNetwork) expect(candidate?.refused).toBeDefined();
    }),
  );
});
