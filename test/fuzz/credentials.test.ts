import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { controllerServerName } from '../../companion/contract/rpc.ts';
import { identify, StreamRefusal } from '../../companion/controller/nodes/identity.ts';
import { servingCertificate } from '../../companion/controller/nodes/serving-certificate.ts';
import { selfSigned } from '../../companion/controller/nodes/x509.ts';
import type { KubeObject, TokenReview } from '../../companion/kube/object.ts';
import { createFakeKube } from '../unit/companion/controller/fake-kube.ts';
import { fuzz, fuzzTimeoutMs, mutated, text } from './fuzz.ts';

vi.setConfig({ testTimeout: fuzzTimeoutMs });

const now = Date.parse('2026-11-20T00:00:00Z');
const namespace = 'lazyscope-system';

const claims = fc.oneof(
  fc.json(),
  fc.record({ exp: fc.oneof(fc.integer(), fc.double(), text) }).map((each) => JSON.stringify(each)),
  fc.constantFrom('{"exp":1e400}', '{"exp":-1e400}', '{"__proto__":{"exp":1}}', 'null', '{'),
);
const token = fc.oneof(
  text,
  fc.tuple(text, claims, text).map(([head, payload, signature]) => {
    return [head, Buffer.from(payload).toString('base64url'), signature].join('.');
  }),
);
const extra = fc.dictionary(
  fc.constantFrom('node-name', 'pod-name').map((key) => `authentication.kubernetes.io/${key}`),
  fc.array(text, { maxLength: 2 }),
);
const review: fc.Arbitrary<TokenReview> = fc.record({
  authenticated: fc.boolean(),
  username: fc.oneof(
    text,
    fc.constant(`system:serviceaccount:${namespace}:lazyscope-node`),
    fc.constant(undefined),
  ),
  extra: fc.oneof(extra, fc.constant(undefined)),
  error: fc.oneof(text, fc.constant(undefined)),
});

test('any token is accepted as a node’s for an hour at most, or refused with a code', async () => {
  const nodeOfPod = (name: string) => (name === 'web' ? 'node-1' : undefined);
  await fuzz(
    fc.asyncProperty(token, review, async (given, told) => {
      const kube = { tokenReview: async () => told };
      try {
        const identity = await identify({ kube, namespace, nodeOfPod, now: () => now }, given);
        expect(identity.node).not.toBe('');
        expect(identity.expiresAt).toBeGreaterThanOrEqual(now + 60_000);
        expect(identity.expiresAt).toBeLessThanOrEqual(now + 3_600_000);
        expect(told.authenticated).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(StreamRefusal);
      }
    }),
  );
});

const good = selfSigned(controllerServerName, new Date(now), 3_650);
const other = selfSigned(controllerServerName, new Date(now), 3_650);
const pem = (value: string) => mutated(fc.constant(new Uint8Array(Buffer.from(value))));
const part = fc
  .oneof(
    pem(good.certificate),
    pem(good.key),
    fc.constantFrom(good.certificate, good.key, other.key).map((each) => Buffer.from(each)),
    text.map((each) => Buffer.from(each)),
  )
  .map((bytes) => Buffer.from(bytes).toString('base64'));
const data = fc.dictionary(
  fc.constantFrom('tls.crt', 'tls.key', 'previous.crt'),
  fc.oneof(part, text),
);

test('with any content of the Secret a controller serves with keys that nodes will trust', async () => {
  await fuzz(
    fc.asyncProperty(fc.oneof(data, fc.constant(undefined)), async (given) => {
      const kube = createFakeKube();
      const metadata = { name: 'lazyscope-serving', namespace };
      kube.put({ apiVersion: 'v1', kind: 'Secret', metadata, data: given } as KubeObject);
      const { certificate, key } = await servingCertificate(kube, namespace, now);
      createSecureContext({ cert: certificate, key });
      const [map] = kube.all('ConfigMap');
      const published: string = map?.data['ca.crt'];
      createSecureContext({ ca: published });
      const certificates = published.match(/-----BEGIN[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
      expect(certificates.length).toBeGreaterThan(0);
      for (const each of certificates) expect(new X509Certificate(each).subject).not.toBe('');
      expect(published).toContain(certificate);
    }),
  );
});
