import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { call } from '../../../box/app-call.ts';
import { outside } from '../../../box/cluster/network-plan.ts';
import { createFleet, deleteNamespaces, importedHosts, serviceObject } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { appPorts, namespaceObject, workload } from '../../../box/shop.ts';

// What the mesh configuration says for the whole mesh: the outbound policy, automatic mutual TLS,
// retries, and how far ServiceEntries are seen. The matrix covers the outbound policy of a Sidecar.
// Beside it, PeerAuthentications of a namespace of which nothing but pods is called.

const mesh = openMesh();
const namespace = 'matrix-policy';
const unscopedNamespace = 'matrix-policy-full';
/** One port for each Service, so that each Service is a destination of its own. */
const ports = { http: appPorts.http, grpc: appPorts.grpc, tcp: appPorts.tcpServerFirst };
const modes = [
  { mode: 'REGISTRY_ONLY', id: 'only', host: 'block_all', status: 502 },
  { mode: 'ALLOW_ANY_DYNAMIC_DNS', id: 'dns', host: 'allow_any_dynamic_dns', status: 200 },
];
let client: PodRef;
let unscoped: PodRef;
let before: string;

const plainOnly = {
  apiVersion: 'security.istio.io/v1',
  kind: 'PeerAuthentication',
  metadata: { name: 'default', namespace: unscopedNamespace },
  spec: { mtls: { mode: 'DISABLE' } },
};

/** A Service without a selector, whose endpoint is a pod of the other namespace. */
async function farService(): Promise<object[]> {
  const pod = await mesh.get(['pod', unscoped.name, '-n', unscopedNamespace]);
  const metadata = { name: 'far', namespace };
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { ports: [{ name: 'http', port: ports.http }] },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'far' } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: ports.http }],
      endpoints: [{ addresses: [pod.status.podIP], conditions: { ready: true } }],
    },
  ];
}

/** Status and seen identity: with full configuration, of the first call, and of a known call. */
async function threeCalls(service: string): Promise<unknown[]> {
  const once = async (from: PodRef) => {
    const url = `http://${service}.${namespace}:${ports.http}/`;
    const { status, body } = await call(mesh, from, url);
    return [status, status === 200 ? body?.peerIdentity : ''];
  };
  const full = await once(unscoped);
  const first = await once(client);
  await mesh.waitFor(`${service} in the proxy of the client`, async () =>
    (await mesh.admin(client, '/clusters')).includes(`||${service}.${namespace}.`),
  );
  return [full, first, await once(client)];
}

async function setMeshConfig(text: string): Promise<void> {
  const patch = JSON.stringify({ data: { mesh: text } });
  const args = ['configmap', 'istio', '-n', 'istio-system', '--type', 'merge', '-p', patch];
  await mesh.kubectl(['patch', ...args]);
}

beforeAll(async () => {
  before = (await mesh.get(['configmap', 'istio', '-n', 'istio-system'])).data.mesh;
  await createFleet(mesh, { namespace, clients: ['client'], targets: 0, strict: true });
  await mesh.apply(
    modes.flatMap(({ id }) =>
      Object.entries(ports).map(([name, port]) =>
        serviceObject(namespace, `${name}-${id}`, { ports: [{ name, port }] }),
      ),
    ),
  );
  await mesh.apply([
    namespaceObject(unscopedNamespace),
    ...workload(unscopedNamespace, 'client'),
    plainOnly,
    serviceObject(unscopedNamespace, 'unused', { ports: [{ name: 'http', port: ports.http }] }),
    serviceObject(namespace, 'auto', { ports: [{ name: 'http', port: ports.http }] }),
  ]);
  await mesh.rollout(unscopedNamespace);
  client = await mesh.pod(namespace, 'app=client');
  unscoped = await mesh.pod(unscopedNamespace, 'app=client');
  await mesh.apply(await farService());
});

afterAll(async () => {
  await setMeshConfig(before);
  await deleteNamespaces(mesh, namespace, unscopedNamespace);
});

describe.each(modes)('$mode for the whole mesh', ({ mode, id, host, status }) => {
  beforeAll(async () => {
    await setMeshConfig(stringify({ ...parse(before), outboundTrafficPolicy: { mode } }));
    for (const pod of [client, unscoped])
      await mesh.waitFor(`${host} in the routes of ${pod.namespace}`, async () =>
        (await mesh.admin(pod, '/config_dump?resource=dynamic_route_configs')).includes(
          `"name": "${host}"`,
        ),
      );
  });

  test(`a call to a host outside of the registry gets ${status}`, async () => {
    const url = `http://${outside.host}:${appPorts.http}/`;
    expect((await call(mesh, client, url)).status).toBe(status);
  });

  test.each([
    [`http://http-${id}:${ports.http}/`, []],
    [`http://http-${id}:${ports.http}/`, ['--data-bytes', '100000']],
    [`grpc://grpc-${id}:${ports.grpc}`, ['--data', 'x']],
  ])('the first call to %s arrives, under the identity of the caller', async (url, flags) => {
    const { error, body, status } = await call(mesh, client, url, ...flags);
    expect(error ?? '').toBe('');
    if (url.startsWith('grpc')) return;
    expect([status, body.peerIdentity]).toEqual([
      200,
      `spiffe://cluster.local/ns/${namespace}/sa/client`,
    ]);
  });

  test('a server that speaks first reaches its client exactly where it does with full configuration', async () => {
    const url = `tcp://tcp-${id}.${namespace}:${ports.tcp}`;
    const heard = async (from: PodRef) => {
      const { error, body } = await call(mesh, from, url, '--timeout', '10s');
      return (error ?? '') === '' && JSON.stringify(body).includes('server');
    };
    // With ALLOW_ANY_DYNAMIC_DNS Istio's outbound listener waits for the first bytes of every
    // connection.
    expect(await heard(client)).toBe(mode === 'REGISTRY_ONLY');
    expect(await heard(unscoped)).toBe(mode === 'REGISTRY_ONLY');
  });
});

test('a PeerAuthentication of a namespace applies to its pods behind a Service of another one', async () => {
  expect(await threeCalls('far')).toEqual([
    [200, ''],
    [200, ''],
    [200, ''],
  ]);
});

test('without automatic mutual TLS, no call is encrypted, as with full configuration', async () => {
  await setMeshConfig(stringify({ ...parse(before), enableAutoMtls: false }));
  const host = `auto.${namespace}.svc.cluster.local`;
  await mesh.waitFor('clusters without TLS', async () => {
    const text = await mesh.admin(unscoped, '/config_dump?resource=dynamic_active_clusters');
    const clusters: { cluster: { name: string; transport_socket_matches?: unknown } }[] =
      JSON.parse(text).configs;
    const found = clusters.find(
      ({ cluster }) => cluster.name === `outbound|${ports.http}||${host}`,
    );
    return found !== undefined && found.cluster.transport_socket_matches === undefined;
  });
  // The server requires mutual TLS.
  expect(await threeCalls('auto')).toEqual([
    [503, ''],
    [503, ''],
    [503, ''],
  ]);
});

describe('defaultHttpRetryPolicy', () => {
  const attempts = 3;
  /** More than the controllers take to hear of the policy, one Service for each try. */
  const retried = Array.from({ length: 10 }, (_, i) => `retried-${i}`);
  const attemptsOf = async (from: PodRef, service: string) => {
    const url = `http://${service}.${namespace}:${ports.http}/status/503`;
    const { status, body } = await call(mesh, from, url);
    return [status, Number(body?.headers?.['X-Envoy-Attempt-Count'] ?? 0)];
  };
  const policied = [503, 1 + attempts];

  test('holds for first calls as for known ones', async () => {
    await mesh.apply(
      retried.map((name) =>
        serviceObject(namespace, name, { ports: [{ name: 'http', port: ports.http }] }),
      ),
    );
    const policy = { attempts, retryOn: '503' };
    await setMeshConfig(stringify({ ...parse(before), defaultHttpRetryPolicy: policy }));
    await mesh.waitFor('the policy with full configuration', async () => {
      const [status, count] = await attemptsOf(unscoped, 'retried-0');
      return status === policied[0] && count === policied[1];
    });
    // Controllers and istiod hear of a change at about the same time.
    let service = '';
    await mesh.waitFor('a first call with the policy', async () => {
      service = retried.pop() ?? service;
      const found = await attemptsOf(client, service);
      return found.join() === policied.join();
    });
    expect(retried.length).toBeGreaterThan(0);
    await mesh.waitFor(`${service} in the proxy of the client`, async () =>
      (await mesh.admin(client, '/clusters')).includes(`||${service}.${namespace}.`),
    );
    expect(await attemptsOf(client, service)).toEqual(policied);
  });
});

describe('serviceEntryVisibility', () => {
  const host = 'seen.example.org';
  const entry = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: 'seen', namespace: 'default' },
    spec: {
      ...{ hosts: [host], location: 'MESH_EXTERNAL', resolution: 'STATIC' },
      ports: [{ number: appPorts.http, name: 'http', protocol: 'HTTP' }],
      endpoints: [{ address: outside.address }],
    },
  };
  const has = async (pod: PodRef) =>
    (await mesh.admin(pod, '/clusters')).includes(`outbound|${appPorts.http}||${host}::`);
  const both = (wanted: boolean) =>
    mesh.waitFor(`${host} ${wanted ? 'in' : 'out of'} both proxies`, async () => {
      const found = await Promise.all([client, unscoped].map(has));
      return found.every((each) => each === wanted);
    });

  afterAll(() =>
    mesh.kubectl(['delete', 'serviceentry', 'seen', '-n', 'default', '--ignore-not-found']),
  );

  test('hides entries from scopes as from full configuration, and shows them again', async () => {
    await mesh.apply([entry]);
    await setMeshConfig(before);
    await both(true);
    const nobody = { applyToSidecars: true, defaultVisibility: 'NAMESPACE' };
    await setMeshConfig(stringify({ ...parse(before), serviceEntryVisibility: nobody }));
    await both(false);
    // The controller learns of the setting by itself, before or after istiod.
    await mesh.waitFor('the scope without the entry', async () => {
      return !(await importedHosts(mesh, namespace, 'client')).join().includes(host);
    });
    await setMeshConfig(before);
    await both(true);
  });
});
