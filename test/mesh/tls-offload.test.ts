import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../box/app-call.ts';
import { deleteNamespaces } from '../../box/fleet.ts';
import { openMesh, type PodRef } from '../../box/mesh.ts';
import { repoDir } from '../../box/paths.ts';
import { appContainer, appPorts, namespaceObject, workload } from '../../box/shop.ts';

// The policy of TLS offload, Istio's injector, pilot-agent and istiod. The Envoy of the box has no
// CryptoMb, which shows what happens where the provider cannot work.

const mesh = openMesh();
const namespace = 'offload';
const label = 'lazyscope.io/tls-offload';
const capable = 'lazyscope.io/cryptomb';
const own = 'concurrency: 1\nproxyMetadata:\n  OWN: kept\n';
let node = '';
/** The manifests as this API server takes them. */
let component = '';
let caller: PodRef;

/** A workload with a configuration of its user. */
function configured(name: string): object[] {
  return workload(namespace, name).map((object) => {
    if ((object as { kind: string }).kind !== 'Deployment') return object;
    const metadata = { labels: { app: name }, annotations: { 'proxy.istio.io/config': own } };
    const spec = { serviceAccountName: name, containers: [appContainer(name)] };
    const template = { metadata, spec };
    return { ...object, spec: { selector: { matchLabels: { app: name } }, template } };
  });
}

type Pod = {
  metadata: { annotations?: Record<string, string> };
  spec: {
    nodeName?: string;
    nodeSelector?: Record<string, string>;
    containers: { name: string }[];
    initContainers?: { name: string }[];
  };
  status: { conditions?: { type: string; status: string }[] };
};

/** What the API server would make of a new pod, with Istio's injector. */
async function admitted(): Promise<Pod> {
  const metadata = { name: 'asked', namespace };
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    spec: { containers: [appContainer('a')] },
  };
  const args = ['create', '--dry-run=server', '-o', 'json', '-f', '-'];
  return JSON.parse(await mesh.kubectl(args, JSON.stringify(pod)));
}

/** The API server learns of a policy, and of labels of Nodes and namespaces, in its own time. */
const untilOffload = (is: boolean) =>
  mesh.waitFor(`new pods ${is ? 'with' : 'without'} TLS offload`, async () => {
    const { spec } = await admitted();
    return (spec.nodeSelector?.[capable] === 'true') === is;
  });

const labelNode = (text: string) => mesh.kubectl(['label', 'node', node, text, '--overwrite']);

const labelNamespace = (value: string) =>
  mesh.kubectl(['label', 'namespace', namespace, `${label}=${value}`, '--overwrite']);

beforeAll(async () => {
  node = mesh.state.nodes[1]?.name ?? '';
  const rendered = await mesh.kubectl([
    'kustomize',
    join(repoDir, 'manifests/components/tls-offload'),
  ]);
  // Kubernetes 1.35 serves the policy as v1beta1, whose fields are those of v1.
  component = rendered.replaceAll(/(admissionregistration\.k8s\.io\/v1)$/gm, '$1beta1');
  await mesh.apply(component);
  await mesh.apply([namespaceObject(namespace), ...workload(namespace, 'caller')]);
  await mesh.rollout(namespace);
  caller = await mesh.pod(namespace, 'app=caller');
  await labelNamespace('auto');
  // As Node Feature Discovery does.
  await labelNode(`${capable}=true`);
  await untilOffload(true);
  await mesh.apply(configured('server'));
  await mesh.waitFor('the pod of the server', () => serverPod().catch(() => false as const));
});

afterAll(async () => {
  await labelNode(`${capable}-`);
  await mesh.kubectl(['delete', '--ignore-not-found', '-f', '-'], component);
  await deleteNamespaces(mesh, namespace);
});

/** The pod of the server with the configuration of its user. */
async function serverPod(): Promise<PodRef & Pod> {
  const { items } = await mesh.get(['pods', '-n', namespace, '-l', 'app=server']);
  const live = (items as (Pod & { metadata: PodRef & { deletionTimestamp?: string } })[]).filter(
    ({ metadata }) => metadata.deletionTimestamp === undefined,
  );
  expect(live).toHaveLength(1);
  const [pod] = live as [(typeof live)[0]];
  return { ...pod, namespace, name: pod.metadata.name };
}

test('a new pod keeps its own configuration, gets the provider behind it, and runs on a capable node', async () => {
  const { metadata, spec } = await serverPod();
  expect(metadata.annotations?.['proxy.istio.io/config']).toBe(
    `${own}privateKeyProvider: {cryptomb: {pollDelay: 2ms, fallback: true}}\n`,
  );
  expect([spec.nodeSelector, spec.nodeName]).toEqual([{ [capable]: 'true' }, node]);
  const containers = [...spec.containers, ...(spec.initContainers ?? [])];
  expect(containers.map(({ name }) => name)).toContain('istio-proxy');
});

test('pilot-agent writes the provider into the bootstrap of Envoy, from which istiod learns it', async () => {
  const pod = await serverPod();
  const path = '/etc/istio/proxy/envoy-rev.json';
  const where = ['exec', '-n', namespace, pod.name, '-c', 'istio-proxy', '--', 'cat', path];
  const bootstrap = await mesh.waitFor('the bootstrap', () =>
    mesh.kubectl(where).catch(() => false as const),
  );
  expect(JSON.parse(bootstrap).node.metadata.PROXY_CONFIG).toMatchObject({
    ...{ concurrency: 1, proxyMetadata: { OWN: 'kept' } },
    privateKeyProvider: { cryptomb: { pollDelay: '0.002s', fallback: true } },
  });
});

test('an Envoy without the provider refuses its listeners, so its pod never becomes ready: fallback does not help', async () => {
  const pod = await serverPod();
  await mesh.waitFor('Envoy to refuse its listeners', async () => {
    const stats = await mesh.admin(pod, '/stats?filter=listener_manager.lds.update_rejected');
    return Number(/update_rejected: (\d+)/.exec(stats)?.[1]) > 0;
  });
  expect(pod.status.conditions).toContainEqual(
    expect.objectContaining({ type: 'Ready', status: 'False' }),
  );
});

test.each([
  ['the last capable node is gone', () => labelNode(`${capable}=false`)],
  ['its namespace says off', () => labelNamespace('off')],
])('once %s, a new pod is as ever, and is called', async (_, turnOff) => {
  await labelNode(`${capable}=true`);
  await labelNamespace('auto');
  await untilOffload(true);
  await turnOff();
  await untilOffload(false);
  await mesh.kubectl(['rollout', 'restart', 'deployment/server', '-n', namespace]);
  await mesh.rollout(namespace);
  const { metadata, spec } = await serverPod();
  expect([metadata.annotations?.['proxy.istio.io/config'], spec.nodeSelector]).toEqual([
    own,
    undefined,
  ]);
  // Ready to Kubernetes is not yet known to the caller.
  await mesh.waitFor(
    'an answer of the server',
    async () => (await call(mesh, caller, `http://server:${appPorts.http}/`)).status === 200,
    30,
  );
});
