import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type ApiServer, startApiServer } from '../../box/api/api-server.ts';
import { withProvider } from '../../command/core/tls-offload.ts';
import { selfSigned } from '../../companion/controller/nodes/x509.ts';
import { configs } from '../unit/command/proxy-configs.ts';
import { manifests, render } from '../unit/manifests/render.ts';

/**
 * The policy on a real API server. Kubernetes 1.35 serves it as v1beta1, whose fields are those of
 * v1.
 */

vi.setConfig({ testTimeout: 60_000, hookTimeout: 240_000 });

type Pod = {
  metadata: { annotations?: Record<string, string> };
  spec: { nodeSelector?: Record<string, string>; affinity?: object };
};

const capable = { 'lazyscope.io/cryptomb': 'true' };
const configAnnotation = 'proxy.istio.io/config';

let api: ApiServer;
let hook: Server;
const seen: Pod[] = [];
let pods = 0;

function create(namespace: string, given: { metadata?: object; spec?: object } = {}): Promise<Pod> {
  pods += 1;
  return api.call('POST', `/api/v1/namespaces/${namespace}/pods`, {
    metadata: { name: `pod-${pods}`, ...given.metadata },
    spec: { containers: [{ name: 'app', image: 'app' }], ...given.spec },
  });
}

async function createNode(name: string, labels: object): Promise<void> {
  await api.call('POST', '/api/v1/nodes', { metadata: { name, labels } });
}

/** As Istio's injector: it sees each new pod, and allows it. */
async function listen(): Promise<{ server: Server; ca: string; url: string }> {
  const keys = selfSigned('localhost', new Date(), 1);
  const server = createServer({ cert: keys.certificate, key: keys.key }, async (request, reply) => {
    const review = (await json(request)) as { request: { uid: string; object: Pod } };
    seen.push(review.request.object);
    const response = { uid: review.request.uid, allowed: true };
    reply.end(
      JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response }),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { server, ca: keys.certificate, url: `https://localhost:${port}/inject` };
}

beforeAll(async () => {
  api = await startApiServer(console.error);
  const { server, ca, url } = await listen();
  hook = server;
  for (const [name, labels] of Object.entries({
    ...{ auto: { 'lazyscope.io/tls-offload': 'auto' }, plain: {} },
    off: { 'lazyscope.io/tls-offload': 'off' },
  }))
    await api.call('POST', '/api/v1/namespaces', { metadata: { name, labels } });
  await createNode('amd64', { ...capable, 'kubernetes.io/arch': 'amd64' });
  await createNode('second', { ...capable, 'kubernetes.io/arch': 'amd64', zone: 'b' });
  await createNode('arm64', { 'lazyscope.io/cryptomb': 'false', 'kubernetes.io/arch': 'arm64' });
  const group = '/apis/admissionregistration.k8s.io';
  await api.call('POST', `${group}/v1/mutatingwebhookconfigurations`, {
    metadata: { name: 'injector' },
    webhooks: [
      {
        ...{ name: 'injector.istio.test', sideEffects: 'None', admissionReviewVersions: ['v1'] },
        clientConfig: { url, caBundle: Buffer.from(ca).toString('base64') },
        rules: [
          { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] },
        ],
      },
    ],
  });
  const rendered = render(join(manifests, 'components/tls-offload'));
  const input = rendered
    .map((object) =>
      JSON.stringify({ ...object, apiVersion: object.apiVersion.replace(/v1$/, 'v1beta1') }),
    )
    .join('\n---\n');
  await api.kubectl(['apply', '--server-side', '-f', '-'], input);
  // The API server compiles a policy some time after it was written.
  while (!(await create('auto')).metadata.annotations) await sleep(100);
});
afterAll(async () => {
  hook?.close();
  await api?.stop();
});

describe('the configuration of a proxy', () => {
  test.each(configs)('%s', async (_, config) => {
    const { metadata } = await create('auto', {
      metadata: { annotations: { 'proxy.istio.io/config': config } },
    });
    expect(metadata.annotations?.['proxy.istio.io/config']).toBe(withProvider(config) ?? config);
  });
});

test('a pod without a configuration gets one, and the injector sees it', async () => {
  seen.length = 0;
  const { metadata } = await create('auto');
  const provider = 'privateKeyProvider: {cryptomb: {pollDelay: 2ms, fallback: true}}\n';
  expect(metadata.annotations).toEqual({ 'proxy.istio.io/config': provider });
  expect(seen.map((pod) => pod.metadata.annotations?.['proxy.istio.io/config'])).toEqual([
    provider,
  ]);
});

test.each([
  ['off', 'auto', true],
  ['plain', 'auto', true],
  ['auto', 'off', false],
  ['auto', 'on', false],
  ['plain', undefined, false],
  ['off', undefined, false],
])('in a namespace %s, a pod labelled %s is changed: %s', async (namespace, label, isChanged) => {
  const labels = label === undefined ? {} : { 'lazyscope.io/tls-offload': label };
  const { metadata, spec } = await create(namespace, { metadata: { labels } });
  expect([metadata.annotations !== undefined, spec.nodeSelector]).toEqual([
    isChanged,
    isChanged ? capable : undefined,
  ]);
});

const affinity = {
  nodeAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [{ matchExpressions: [{ key: 'b', operator: 'Exists' }] }],
    },
  },
};

test('a pod keeps its own affinity and selector, and runs on capable nodes only', async () => {
  const { spec } = await create('auto', { spec: { affinity, nodeSelector: { zone: 'b' } } });
  expect(spec.affinity).toEqual(affinity);
  expect(spec.nodeSelector).toEqual({ zone: 'b', ...capable });
});

const daemon = { apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'agent', uid: 'a' };
const placed = 'a pod that';

test.each<[string, { metadata?: object; spec?: object }]>([
  [
    `${placed} can run on no capable node`,
    { spec: { nodeSelector: { 'kubernetes.io/arch': 'arm64' } } },
  ],
  [`${placed} wants a label which capable nodes lack`, { spec: { nodeSelector: { zone: 'a' } } }],
  [`${placed} a DaemonSet wants on each node`, { metadata: { ownerReferences: [daemon] } }],
  [`${placed} has its node already`, { spec: { nodeName: 'amd64' } }],
])('%s stays as it is', async (_, given) => {
  const { metadata, spec } = await create('auto', given);
  expect(metadata.annotations).toBeUndefined();
  expect(spec.nodeSelector).toEqual((given.spec as Pod['spec'] | undefined)?.nodeSelector);
});

test.each([
  ['its own CryptoMb', 'privateKeyProvider: {cryptomb: {pollDelay: 9ms}}\n', capable],
  ['its own QAT', 'privateKeyProvider: {qat: {pollDelay: 9ms}}\n', undefined],
  ['JSON without a provider', '{"concurrency": 2}', undefined],
])('with %s the configuration stays, and the nodes are %s', async (_, config, selector) => {
  const annotations = { [configAnnotation]: config };
  const { metadata, spec } = await create('auto', { metadata: { annotations } });
  expect(metadata.annotations?.[configAnnotation]).toBe(config);
  expect(spec.nodeSelector).toEqual(selector);
});

// The last test: it takes the capable nodes away.
test('without a capable node pods stay as they are', async () => {
  for (const name of ['amd64', 'second']) await api.call('DELETE', `/api/v1/nodes/${name}`);
  // The API server learns of it some time later.
  while ((await create('auto')).metadata.annotations) await sleep(100);
  const { metadata, spec } = await create('auto', {
    metadata: { labels: { 'lazyscope.io/tls-offload': 'auto' } },
  });
  expect([metadata.annotations, spec.nodeSelector]).toEqual([undefined, undefined]);
});
