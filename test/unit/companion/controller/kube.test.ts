import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { connectKube } from '../../../../companion/kube/kube.ts';
import { isKubeError, type KubeObject } from '../../../../companion/kube/object.ts';
import { reply, type ScriptedApi, startScriptedApi } from './scripted-api.ts';

let api: ScriptedApi;

beforeEach(async () => {
  api = await startScriptedApi();
});

afterEach(() => api.stop());

const pods = { group: '', version: 'v1', plural: 'pods' };

test('requests carry the token of the file', async () => {
  api.answer = (_request, response) => reply(response, 200, {});
  await api.kube.get(pods, 'a', 'shop');
  expect(api.requests[0]?.headers.authorization).toBe('Bearer one');
});

test('apply is a server-side apply with a named manager', async () => {
  api.answer = (_request, response) => reply(response, 200, {});
  const sidecar: KubeObject = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Sidecar',
    metadata: { name: 'web', namespace: 'shop' },
  };
  await api.kube.apply(sidecar, { fieldManager: 'lazyscope', force: true, subresource: 'status' });
  const [request] = api.requests;
  expect(request?.method).toBe('PATCH');
  expect(request?.headers['content-type']).toBe('application/apply-patch+yaml');
  expect(request?.url.pathname).toBe(
    '/apis/networking.istio.io/v1/namespaces/shop/sidecars/web/status',
  );
  expect(Object.fromEntries(request?.url.searchParams ?? [])).toEqual({
    fieldManager: 'lazyscope',
    force: 'true',
  });
});

test('a missing object is undefined for get, and already deleted for delete', async () => {
  api.answer = (_request, response) => reply(response, 404, { message: 'not found' });
  expect(await api.kube.get(pods, 'a', 'shop')).toBeUndefined();
  await expect(api.kube.delete(pods, 'a', 'shop')).resolves.toBeUndefined();
});

test('an error contains the request and the server’s answer', async () => {
  api.answer = (_request, response) => reply(response, 409, { message: 'object was modified' });
  const lease: KubeObject = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'l', namespace: 'shop' },
  };
  const error = await api.kube.replace(lease).catch((caught: unknown) => caught);
  expect(isKubeError(error, 409)).toBe(true);
  expect(String(error)).toMatch(
    /PUT \/apis\/coordination.k8s.io\/v1\/namespaces\/shop\/leases\/l: 409: object was modified/,
  );
});

test('a request that gets no answer in its time fails', async () => {
  api.answer = () => undefined;
  const lease: KubeObject = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' } };
  await expect(api.kube.apply(lease, { fieldManager: 'x', timeoutMs: 20 })).rejects.toThrow(
    /no answer/,
  );
});

test('a token review returns the user and the objects that the token is bound to', async () => {
  const user = { username: 'system:serviceaccount:a:b', extra: { key: ['value'] } };
  api.answer = (_request, response) =>
    reply(response, 201, { status: { authenticated: true, user } });
  expect(await api.kube.tokenReview('t', ['lazyscope'])).toEqual({ authenticated: true, ...user });
  expect(JSON.parse(api.requests[0]?.body ?? '').spec).toEqual({
    token: 't',
    audiences: ['lazyscope'],
  });
});

test('a kubeconfig without a current cluster is refused by its path', async () => {
  const path = join(api.folder, 'empty.json');
  writeFileSync(path, '{}');
  const connecting = connectKube(
    { kubeconfig: path, serviceAccountPath: '' },
    { log: pino({ level: 'silent' }), registry: new Registry() },
  );
  await expect(connecting).rejects.toThrow(/empty\.json: no current cluster/);
});

test('no request is sent after its deadline, even if no timer could fire', async () => {
  api.answer = (_request, response) => reply(response, 200, {});
  const secret: KubeObject = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' } };
  const sending = api.kube.apply(secret, { fieldManager: 'x', timeoutMs: 50 });
  // This blocks the process as SIGSTOP would: time passes, and the connection is ready when the
  // process continues.
  const end = performance.now() + 100;
  while (performance.now() < end);
  await expect(sending).rejects.toThrow(/not sent within 50 ms|aborted/);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(api.requests).toEqual([]);
});
