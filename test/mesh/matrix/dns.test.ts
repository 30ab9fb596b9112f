import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { outside } from '../../../box/cluster/network-plan.ts';
import { deleteNamespaces, untilNarrowed } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { enableNamespace } from '../../../box/product.ts';
import { appContainer, namespaceObject } from '../../../box/shop.ts';
import { serviceEntry } from './istio-objects.ts';
import { outsidePorts } from './servers.ts';

// Istio's DNS proxy: the sidecar answers the app's DNS queries, but only for hosts in its scope.

const mesh = openMesh();
const namespace = 'matrix-dns';
const clients = { proxied: 'true', plain: 'false' };
const pods: Record<string, PodRef> = {};

const client = (name: string, capture: string) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: {
        labels: { app: name },
        annotations: {
          'proxy.istio.io/config': JSON.stringify({
            proxyMetadata: { ISTIO_META_DNS_CAPTURE: capture },
          }),
        },
      },
      spec: { containers: [appContainer(name)] },
    },
  },
});

/**
 * An entry for a name that no other DNS server knows. Without `addresses` istiod allocates one for
 * the host.
 */
const entry = (name: string, protocol: 'HTTP' | 'TCP', addresses: string[] = []) =>
  serviceEntry(namespace, name, {
    hosts: [`${name}.mesh.internal`],
    ...(addresses.length > 0 && { addresses }),
    ports: [
      protocol === 'HTTP'
        ? { number: outsidePorts.http, name: 'http', protocol }
        : { number: outsidePorts['tcp-echo'], name: 'tcp', protocol },
    ],
    location: 'MESH_EXTERNAL',
    resolution: 'STATIC',
    endpoints: [{ address: outside.address }],
  });

beforeAll(async () => {
  await mesh.apply([
    namespaceObject(namespace),
    ...Object.entries(clients).map(([name, capture]) => client(name, capture)),
    entry('addressed', 'HTTP', ['240.8.0.1']),
    entry('allocated', 'HTTP'),
    entry('tcp-addressed', 'TCP', ['240.8.0.2']),
    entry('tcp-allocated', 'TCP'),
  ]);
  await mesh.rollout(namespace);
  await enableNamespace(mesh, namespace, 'enforce');
  await untilNarrowed(mesh, namespace, Object.keys(clients));
  for (const name of Object.keys(clients)) pods[name] = await mesh.pod(namespace, `app=${name}`);
});

afterAll(() => deleteNamespaces(mesh, namespace));

const from = (name: keyof typeof clients) => pods[name] as PodRef;

// This test is the first one, because the calls below give the called hosts another reason.
test('the scope gives the reason for each of these hosts', async () => {
  const scope = await mesh.get(['workloadscope', 'proxied', '-n', namespace]);
  const hosts = scope.status.hosts as { host: string; reason: string; message?: string }[];
  const allocated = hosts.find(({ host }) => host === `${namespace}/allocated.mesh.internal`);
  expect(allocated).toMatchObject({
    reason: 'eager',
    message: expect.stringContaining('DNS proxy'),
  });
  const other = await mesh.get(['workloadscope', 'plain', '-n', namespace]);
  const elsewhere = (other.status.hosts as typeof hosts).find(
    ({ host }) => host === `${namespace}/allocated.mesh.internal`,
  );
  // Without the DNS proxy the scope imports the entry for its endpoints, which DNS does not return.
  expect(elsewhere).toMatchObject({
    reason: 'eager',
    message: expect.stringContaining('its endpoints are configured'),
  });
});

test.each([
  `http://addressed.mesh.internal:${outsidePorts.http}/`,
  `http://allocated.mesh.internal:${outsidePorts.http}/`,
  `tcp://tcp-addressed.mesh.internal:${outsidePorts['tcp-echo']}`,
  `tcp://tcp-allocated.mesh.internal:${outsidePorts['tcp-echo']}`,
])('%s, which was never called, is resolved and reached', async (url) => {
  const flags = url.startsWith('tcp') ? ['--send', 'hello'] : [];
  const { error, body } = await call(mesh, from('proxied'), url, ...flags);
  expect(error ?? '').toBe('');
  expect(JSON.stringify(body)).toContain('outside');
  // Only the sidecar's DNS proxy knows the name.
  expect(await call(mesh, from('plain'), url, ...flags)).toMatchObject({ errorClass: 'dns' });
});
