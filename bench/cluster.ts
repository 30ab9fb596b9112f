import { companionArchive } from '../box/artifacts/companion-image.ts';
import { type Mesh, type PodRef, startMesh } from '../box/mesh.ts';
import { installProduct } from '../box/product.ts';
import type { BenchOptions } from './bench.ts';
import type { Row } from './result.ts';

/** Services in one namespace of the synthetic ones (box/synthetic-services.ts). */
const perNamespace = 50;

/** Runs on a mesh with the product. With MESH=keep, uses a mesh that is up and leaves it up. */
export async function onMesh(
  { say }: BenchOptions,
  work: (mesh: Mesh) => Promise<Row[]>,
): Promise<Row[]> {
  const mesh = await startMesh({ archives: [await companionArchive(say)] });
  try {
    await installProduct(mesh, say, { LAZYSCOPE_LEARNING_WINDOW_SECONDS: '0' });
    return await work(mesh);
  } finally {
    await mesh.stop();
  }
}

/**
 * Creates or deletes synthetic services until the mesh has exactly this many. Surplus services are
 * deleted by collection, and empty namespaces stay: deleting those takes minutes.
 */
export async function setServices(mesh: Mesh, count: number): Promise<void> {
  const list = await mesh.kubectl(['get', 'namespaces', '-o', 'name']);
  for (const line of list.split('\n')) {
    const [, namespace, index] = /^namespace\/(synthetic-(\d+))$/.exec(line) ?? [];
    if (namespace === undefined || Number(index) < count / perNamespace) continue;
    for (const api of ['/api/v1', '/apis/discovery.k8s.io/v1']) {
      const plural = api === '/api/v1' ? 'services' : 'endpointslices';
      await mesh.kubectl(['delete', '--raw', `${api}/namespaces/${namespace}/${plural}`]);
    }
  }
  await mesh.createServices(count);
}

/** A new name: the namespace of an earlier run may still be terminating. */
export const newNamespace = (purpose: string) => `bench-${purpose}-${Date.now().toString(36)}`;

/** Returns when the namespaces are gone, so that they can be created again. */
export async function removeNamespaces(mesh: Mesh, ...names: string[]): Promise<void> {
  await mesh.kubectl(['delete', 'namespace', ...names, '--ignore-not-found', '--timeout=300s']);
}

/** The least number of clusters of a sidecar with full configuration: two ports per service. */
export const clustersOf = (services: number) => 2 * services;

/**
 * Reads figures directly over the pods' network, because kubectl costs more than the requests
 * themselves.
 */
export type Observer = {
  /** How many clusters each pod's sidecar has, in order. */
  clusters(pods: PodRef[]): Promise<number[]>;
  /** A sum over the samples of a metric of istiod. */
  istiod(name: string): Promise<number>;
};

type PodObject = { metadata: { name: string }; status: { podIP: string } };

export async function observer(mesh: Mesh): Promise<Observer> {
  const node = mesh.state.nodes[0]?.name ?? '';
  const curl = (urls: string[]) =>
    mesh.onNode(node, ['curl', '-sS', '--fail', '--max-time', '30', '-w', separator, ...urls]);
  const { items } = await mesh.get(['pods', '-n', 'istio-system', '-l', 'app=istiod']);
  const istiod = (items as PodObject[])[0]?.status.podIP;
  const addresses = new Map<string, string>();

  async function addressOf({ namespace, name }: PodRef): Promise<string> {
    const key = `${namespace}/${name}`;
    const known = addresses.get(key);
    if (known) return known;
    const { status } = (await mesh.get(['pod', name, '-n', namespace])) as PodObject;
    addresses.set(key, status.podIP);
    return status.podIP;
  }
  return {
    async clusters(pods) {
      const hosts = await Promise.all(pods.map(addressOf));
      const path = ':15090/stats/prometheus?filter=^cluster_manager.active_clusters$';
      const texts = (await curl(hosts.map((host) => `http://${host}${path}`))).split(separator);
      return pods.map((_, i) => sumOf(texts[i] ?? '', 'envoy_cluster_manager_active_clusters'));
    },
    istiod: async (name) => sumOf(await curl([`http://${istiod}:15014/metrics`]), name),
  };
}

/** Between the answers of several requests of one curl. */
const separator = '\n# end of an answer\n';

/** NaN when the metric is missing, so that a missing metric is not mistaken for zero. */
function sumOf(text: string, name: string): number {
  const samples = text.split('\n').filter((line) => new RegExp(`^${name}[{ ]`).test(line));
  if (samples.length === 0) return Number.NaN;
  return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}
