import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import { expect, test } from 'vitest';
import type { ServingKeys } from '../../../../companion/controller/nodes/server.ts';
import { servingCertificate } from '../../../../companion/controller/nodes/serving-certificate.ts';
import { selfSigned } from '../../../../companion/controller/nodes/x509.ts';
import { createFakeKube } from './fake-kube.ts';

const now = Date.parse('2026-11-20T00:00:00Z');
const day = 86_400_000;
const namespace = 'lazyscope-system';

test('a generated certificate is valid for its names and its times', () => {
  const { certificate } = selfSigned('controller.example', new Date(now), 9_000);
  const parsed = new X509Certificate(certificate);
  expect(parsed.checkHost('controller.example')).toBe('controller.example');
  expect(parsed.checkHost('other.example')).toBeUndefined();
  expect(Date.parse(parsed.validFrom)).toBe(now);
  // After 2049 X.509 encodes the time in another form.
  expect(Date.parse(parsed.validTo)).toBe(now + 9_000 * day);
  expect(parsed.verify(parsed.publicKey)).toBe(true);
  expect(parsed.ca).toBe(true);
});

/** Makes a TLS connection and resolves with the server's message. */
async function talk({ certificate, key }: ServingKeys, ca: string): Promise<string> {
  const server = createServer({ cert: certificate, key }, (socket) => socket.end('hello'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = connect({ host: '127.0.0.1', port, ca, servername: 'controller.example' });
  try {
    const [data] = await once(client, 'data');
    return String(data);
  } finally {
    client.destroy();
    server.close();
  }
}

const make = () => selfSigned('controller.example', new Date(Date.now() - day), 10);

test('a client that trusts only this certificate connects only to a server that has it', async () => {
  const keys = make();
  expect(await talk(keys, keys.certificate)).toBe('hello');
  await expect(talk(make(), keys.certificate)).rejects.toThrow(/self-signed certificate/);
});

test('a client that trusts two certificates of one name connects to servers with either', async () => {
  const [old, fresh] = [make(), make()];
  const both = fresh.certificate + old.certificate;
  expect(await talk(old, both)).toBe('hello');
  expect(await talk(fresh, both)).toBe('hello');
});

test('all replicas serve with the certificate of the first replica, and publish it', async () => {
  const kube = createFakeKube();
  const first = await servingCertificate(kube, namespace, now);
  const second = await servingCertificate(kube, namespace, now);
  expect(second).toEqual(first);
  expect(kube.all('ConfigMap')[0]?.data).toEqual({ 'ca.crt': first.certificate });
});

test('two replicas that start at once end up with the same certificate', async () => {
  const kube = createFakeKube();
  const [a, b] = await Promise.all([
    servingCertificate(kube, namespace, now),
    servingCertificate(kube, namespace, now),
  ]);
  expect(a).toEqual(b);
});

test('a certificate that is about to expire or is invalid is replaced', async () => {
  const kube = createFakeKube();
  const first = await servingCertificate(kube, namespace, now);
  const later = await servingCertificate(kube, namespace, now + 3_400 * day);
  expect(later).not.toEqual(first);
  // Replicas that have not restarted yet still serve with the first certificate.
  const published = () => kube.all('ConfigMap')[0]?.data['ca.crt'];
  expect(published()).toBe(later.certificate + first.certificate);
  await servingCertificate(kube, namespace, now + 3_400 * day);
  expect(published()).toBe(later.certificate + first.certificate);
  const [secret] = kube.all('Secret');
  const garbage = Buffer.from('garbage').toString('base64');
  if (secret) kube.put({ ...secret, data: { 'tls.crt': garbage, 'tls.key': garbage } });
  const repaired = await servingCertificate(kube, namespace, now);
  expect(new X509Certificate(repaired.certificate).ca).toBe(true);
  expect(published()).toBe(repaired.certificate + later.certificate + first.certificate);
});

test('a lost Secret keeps the certificates that other replicas serve with published', async () => {
  const kube = createFakeKube();
  const secrets = { group: '', version: 'v1', plural: 'secrets' };
  const made: string[] = [];
  for (let n = 0; n < 6; n++) {
    made.unshift((await servingCertificate(kube, namespace, now)).certificate);
    await kube.delete(secrets, 'lazyscope-serving', namespace);
  }
  const [published] = kube.all('ConfigMap');
  // Only the newest certificates stay, and only a few.
  expect(published?.data['ca.crt']).toBe(made.slice(0, 4).join(''));
});

test('published data that is no certificate is left out', async () => {
  const kube = createFakeKube();
  const first = await servingCertificate(kube, namespace, now);
  const [published] = kube.all('ConfigMap');
  const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  const data = { 'ca.crt': `garbage ${broken}${first.certificate}` };
  if (published) kube.put({ ...published, data });
  await servingCertificate(kube, namespace, now);
  expect(kube.all('ConfigMap')[0]?.data['ca.crt']).toBe(first.certificate);
});

test.each([
  ['with the key of another', 'tls.key', make().key],
  ['with a key that is none', 'tls.key', 'garbage'],
  ['whose predecessor is none', 'previous.crt', 'garbage'],
])('a certificate %s does not keep a controller from serving', async (_, name, value) => {
  const kube = createFakeKube();
  await servingCertificate(kube, namespace, now);
  const [secret] = kube.all('Secret');
  const spoiled = { ...secret?.data, [name]: Buffer.from(value).toString('base64') };
  if (secret) kube.put({ ...secret, data: spoiled });
  const keys = await servingCertificate(kube, namespace, now);
  expect(new X509Certificate(keys.certificate).checkPrivateKey(createPrivateKey(keys.key))).toBe(
    true,
  );
  expect(kube.all('ConfigMap')[0]?.data['ca.crt']).not.toContain('garbage');
});
