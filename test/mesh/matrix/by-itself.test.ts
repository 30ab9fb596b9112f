import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { call } from '../../../box/app-call.ts';
import {
  createFleet,
  deleteNamespaces,
  entryOf,
  hostOf,
  importedHosts,
  serviceObject,
  untilNarrowed,
} from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { appPorts, namespaceObject, workload } from '../../../box/shop.ts';
import { clusterNames, danglingClusters } from '../../../companion/core/oracle/dangling.ts';

// Calls that the proxies themselves make, and routes of the Gateway API, in a narrowed namespace.
// The namespace `full` has the same objects without the product.

const mesh = openMesh();
const namespace = 'by-itself';
const full = 'by-itself-full';
/** The namespace of the servers that the proxies themselves call. */
const far = 'by-itself-far';
const port = appPorts.http;
const pods: Record<string, { client: PodRef; server: PodRef }> = {};
let before = '';

async function setMeshConfig(text: string): Promise<void> {
  const patch = JSON.stringify({ data: { mesh: text } });
  const args = ['configmap', 'istio', '-n', 'istio-system', '--type', 'merge', '-p', patch];
  await mesh.kubectl(['patch', ...args]);
}

const authz = hostOf(far, 'authz');
const limits = `outbound|${port}||${hostOf(far, 'limits')}`;
const providers = [
  { name: 'far-authz', envoyExtAuthzHttp: { service: authz, port } },
  { name: 'far-zipkin', zipkin: { service: hostOf(far, 'zipkin'), port } },
  { name: 'far-otel', opentelemetry: { service: hostOf(far, 'otel'), port: appPorts.grpc } },
];

const istio = (group: string, kind: string, name: string, owner: string, spec: object) => ({
  ...{ apiVersion: group, kind },
  ...{ metadata: { name, namespace: owner }, spec },
});

/** Configuration for the server of a namespace. It names hosts that no app calls. */
function named(owner: string): object[] {
  const selector = { matchLabels: { app: 'server' } };
  const filter = {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit',
    domain: 'test',
    rate_limit_service: {
      grpc_service: { envoy_grpc: { cluster_name: limits } },
      transport_api_version: 'V3',
    },
  };
  const where = {
    context: 'SIDECAR_INBOUND',
    listener: {
      filterChain: { filter: { name: 'envoy.filters.network.http_connection_manager' } },
    },
  };
  const value = { name: 'envoy.filters.http.ratelimit', typed_config: filter };
  return [
    istio('security.istio.io/v1', 'AuthorizationPolicy', 'ask', owner, {
      ...{ selector, action: 'CUSTOM', provider: { name: 'far-authz' } },
      rules: [{ to: [{ operation: { paths: ['/*'] } }] }],
    }),
    istio('telemetry.istio.io/v1', 'Telemetry', 'trace', owner, {
      tracing: [{ providers: [{ name: 'far-otel' }], randomSamplingPercentage: 100 }],
    }),
    istio('telemetry.istio.io/v1', 'Telemetry', 'trace-client', owner, {
      selector: { matchLabels: { app: 'client' } },
      tracing: [{ providers: [{ name: 'far-zipkin' }], randomSamplingPercentage: 100 }],
    }),
    istio('networking.istio.io/v1alpha3', 'EnvoyFilter', 'limits', owner, {
      workloadSelector: { labels: { app: 'server' } },
      configPatches: [
        {
          ...{ applyTo: 'HTTP_FILTER', match: where },
          patch: { operation: 'INSERT_BEFORE', value },
        },
      ],
    }),
  ];
}

const header = (value: string) => [
  { type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'x-route', value }] } },
];

/**
 * A route in the callers' namespace for a Service of another namespace, and a route in the server's
 * namespace.
 */
function routes(owner: string): object[] {
  const api = 'gateway.networking.k8s.io/v1';
  const parent = (name: string, at: string) => ({
    ...{ group: '', kind: 'Service', name, namespace: at, port },
  });
  return [
    istio(api, 'HTTPRoute', 'consumer', owner, {
      parentRefs: [parent('consumed', far)],
      rules: [
        {
          filters: header('consumer'),
          backendRefs: [{ name: 'consumed', namespace: far, port }],
        },
      ],
    }),
    istio(api, 'HTTPRoute', 'producer', owner, {
      parentRefs: [parent('produced', owner)],
      rules: [{ filters: header('producer'), backendRefs: [{ name: 'other', port }] }],
    }),
  ];
}

beforeAll(async () => {
  before = (await mesh.get(['configmap', 'istio', '-n', 'istio-system'])).data.mesh;
  await mesh.apply([
    namespaceObject(far),
    ...workload(far, 'server'),
    ...['authz', 'otel', 'limits', 'consumed', 'zipkin'].map((name) => serviceObject(far, name)),
  ]);
  await mesh.rollout(far);
  await setMeshConfig(stringify({ ...parse(before), extensionProviders: providers }));
  for (const owner of [namespace, full]) {
    const mode = owner === full ? 'off' : 'enforce';
    await mesh.apply([namespaceObject(owner), ...workload(owner, 'other')]);
    await createFleet(mesh, { ...{ namespace: owner, mode }, clients: ['client'], targets: 0 });
    await mesh.apply([...named(owner), ...routes(owner), serviceObject(owner, 'produced')]);
    pods[owner] = {
      client: await mesh.pod(owner, 'app=client'),
      server: await mesh.pod(owner, 'app=server'),
    };
  }
  await untilNarrowed(mesh, namespace, ['server']);
});

afterAll(async () => {
  await setMeshConfig(before);
  await deleteNamespaces(mesh, namespace, full, far);
});

const podOf = (owner: string, role: 'client' | 'server') => pods[owner]?.[role] as PodRef;
const dumpOf = async (owner: string, role: 'client' | 'server') =>
  JSON.parse(await mesh.admin(podOf(owner, role), '/config_dump'));

test.each([full, namespace])('in %s the server has every cluster that it names', async (owner) => {
  await mesh.waitFor('the providers in the configuration of the server', async () => {
    const dump = await dumpOf(owner, 'server');
    const text = JSON.stringify(
      dump.configs.filter((section: { '@type': string }) =>
        section['@type'].endsWith('ListenersConfigDump'),
      ),
    );
    for (const host of [authz, hostOf(far, 'otel'), limits])
      if (!text.includes(host)) throw new Error(`no listener names ${host}`);
    return true;
  });
  const dump = await dumpOf(owner, 'server');
  expect(danglingClusters(dump)).toEqual([]);
  expect(clusterNames(dump)).toContain(`outbound|${port}||${authz}`);
  expect(clusterNames(dump)).toContain(limits);
});

test.each([full, namespace])(
  'in %s a call with an authorization provider arrives',
  async (owner) => {
    const { status } = await call(mesh, podOf(owner, 'client'), `http://server:${port}/a`);
    expect(status).toBe(200);
  },
);

test('the scope says which object names a host', async () => {
  const scope = await mesh.get(['workloadscope', 'server', '-n', namespace]);
  const found = scope.status.hosts.filter(
    ({ reason }: { reason: string }) => reason === 'provider',
  );
  expect(found.map(({ host, message }: Record<string, string>) => [host, message])).toEqual([
    [
      entryOf(far, 'authz'),
      'provider far-authz (envoyExtAuthzHttp) of ConfigMap istio is this host',
    ],
    [entryOf(far, 'limits'), `EnvoyFilter ${namespace}/limits names this host`],
    [entryOf(far, 'otel'), 'provider far-otel (opentelemetry) of ConfigMap istio is this host'],
    [entryOf(far, 'zipkin'), 'provider far-zipkin (zipkin) of ConfigMap istio is this host'],
  ]);
});

test.each([
  [full, 'consumer', `consumed.${far}`, 'server'],
  [full, 'producer', 'produced', 'other'],
  [namespace, 'consumer', `consumed.${far}`, 'server'],
  [namespace, 'producer', 'produced', 'other'],
])('in %s the first call and all later calls follow the route of the %s', async (...row) => {
  const [owner, route, host, server] = row;
  for (const _ of ['unknown', 'known']) {
    const { status, body } = await call(mesh, podOf(owner, 'client'), `http://${host}:${port}/`);
    expect([status, body.name, body.headers['X-Route']]).toEqual([200, server, [route]]);
  }
});

test('the scope has the route of the caller’s namespace, and nothing dangles', async () => {
  expect(await importedHosts(mesh, namespace, 'client')).toEqual(
    expect.arrayContaining([
      entryOf(far, 'consumed'),
      `${namespace}/${hostOf(far, 'consumed')}`,
      entryOf(namespace, 'produced'),
    ]),
  );
  expect(danglingClusters(await dumpOf(namespace, 'client'))).toEqual([]);
});

test('a pod that starts with the scope in force has the collector that its listeners need', async () => {
  await mesh.kubectl(['rollout', 'restart', 'deployment/client', '-n', namespace]);
  const old = podOf(namespace, 'client').name;
  const fresh = await mesh.waitFor('a new client', async () => {
    const pod = await mesh.pod(namespace, 'app=client');
    return pod.name !== old && pod;
  });
  const dump = JSON.parse(await mesh.admin(fresh, '/config_dump'));
  expect(JSON.stringify(dump)).toContain('envoy.tracers.zipkin');
  expect(clusterNames(dump)).toContain(`outbound|${port}||${hostOf(far, 'zipkin')}`);
  expect(danglingClusters(dump)).toEqual([]);
  expect(JSON.stringify(dump)).not.toContain('"error_state"');
});
