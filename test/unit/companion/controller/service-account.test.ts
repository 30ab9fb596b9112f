import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { selfSigned } from '../../../../companion/controller/nodes/x509.ts';
import { serviceAccount } from '../../../../companion/kube/credentials.ts';
import { connectKube } from '../../../../companion/kube/kube.ts';

const day = 86_400_000;
const secrets = { group: '', version: 'v1', plural: 'secrets' };

let folder: string;
let server: Server;
let seen: { token: string | undefined; connection: number | undefined }[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'service-account-'));
  seen = [];
  const own = selfSigned('localhost', new Date(Date.now() - day), 10);
  server = createServer(
    { cert: own.certificate, key: own.key },
    ({ headers, socket }, response) => {
      seen.push({ token: headers.authorization, connection: socket.remotePort });
      response.end('{}');
    },
  );
  server.listen(0, 'localhost');
  await once(server, 'listening');
  write({ token: 'one\n', 'ca.crt': own.certificate });
  vi.stubEnv('KUBERNETES_SERVICE_HOST', 'localhost');
  vi.stubEnv('KUBERNETES_SERVICE_PORT', String((server.address() as AddressInfo).port));
});

afterEach(() => {
  vi.unstubAllEnvs();
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true });
});

function write(files: Record<string, string>): void {
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
}

function connect() {
  const deps = { log: pino({ level: 'silent' }), registry: new Registry() };
  return connectKube({ kubeconfig: '', serviceAccountPath: folder }, deps);
}

test('a pod needs only its service account, and uses a new token on the existing connection', async () => {
  const kube = await connect();
  await kube.get(secrets, 'a', 'shop');
  write({ token: 'two' });
  await kube.get(secrets, 'a', 'shop');
  expect(seen.map(({ token }) => token)).toEqual(['Bearer one', 'Bearer two']);
  expect(seen[1]?.connection).toBe(seen[0]?.connection);
  kube.close();
});

test('a server that the CA of the service account did not sign is refused', async () => {
  write({ 'ca.crt': selfSigned('localhost', new Date(Date.now() - day), 10).certificate });
  const kube = await connect();
  await expect(kube.get(secrets, 'a', 'shop')).rejects.toThrow(/no answer: .*self-signed/);
  expect(seen).toEqual([]);
  kube.close();
});

test('a new CA is used for the next request, without a restart', async () => {
  const right = selfSigned('localhost', new Date(Date.now() - day), 10);
  const kube = await connect();
  await kube.get(secrets, 'a', 'shop');
  server.setSecureContext({ cert: right.certificate, key: right.key });
  write({ 'ca.crt': right.certificate });
  await kube.get(secrets, 'a', 'shop');
  expect(seen[1]?.connection).not.toBe(seen[0]?.connection);
  kube.close();
});

test('requests that begin together share a reading of the files, and later ones do not', async () => {
  const { credentials } = serviceAccount(folder, { KUBERNETES_SERVICE_HOST: 'localhost' });
  const [one, other] = await Promise.all([credentials(), credentials()]);
  expect(other).toBe(one);
  expect(await credentials()).not.toBe(one);
  rmSync(join(folder, 'token'));
  await expect(credentials()).rejects.toThrow(/ENOENT/);
  write({ token: 'two' });
  expect((await credentials()).headers).toEqual({ authorization: 'Bearer two' });
});

test('outside of a pod the error names the setting to give', () => {
  expect(() => serviceAccount('/', {})).toThrow(/KUBERNETES_SERVICE_HOST is not set.*--kubeconfig/);
});

test('an IPv6 address is written in brackets', () => {
  const { url } = serviceAccount('/', { KUBERNETES_SERVICE_HOST: 'fd00::1' });
  expect(url).toBe('https://[fd00::1]:443');
});
