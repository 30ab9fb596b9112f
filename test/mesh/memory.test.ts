import { afterAll, beforeAll, expect, test } from 'vitest';
import { openMesh, type PodRef } from '../../box/mesh.ts';
import { namespaceObject, workload } from '../../box/shop.ts';
import type { ProxyFigures } from '../../embedded/proxy-figures.ts';

const mesh = openMesh();
const namespace = 'memory';
/** Services without pods and with two ports each; istiod makes one cluster for each port. */
const services = 1000;

let pod: PodRef;

beforeAll(async () => {
  await mesh.apply([namespaceObject(namespace), ...workload(namespace, 'client')]);
  await mesh.rollout(namespace);
  pod = await mesh.pod(namespace, 'app=client');
});

afterAll(async () => {
  const list = await mesh.kubectl(['get', 'namespaces', '-o', 'name']);
  const synthetic = list.split('\n').filter((name) => name.startsWith('namespace/synthetic-'));
  await mesh.kubectl(['delete', '--wait=false', ...synthetic, `namespace/${namespace}`]);
});

const row = (name: string, f: ProxyFigures) =>
  `${name}: ${(f.allocatedBytes / 1e6).toFixed(1)} MB allocated, ${f.clusters} clusters, ${(f.configBytes / 1e6).toFixed(2)} MB of configuration`;

test('1,000 services fill a sidecar, and a hand-written Sidecar empties it again', async () => {
  const before = await mesh.figures(pod);
  await mesh.createServices(services);
  const full = await mesh.waitFor(
    'the clusters of all services',
    async () => {
      const figures = await mesh.figures(pod);
      return figures.clusters >= before.clusters + 2 * services && figures;
    },
    180,
  );
  const sidecar = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Sidecar',
    metadata: { name: 'default', namespace },
    spec: { egress: [{ hosts: ['~/*'] }] },
  };
  await mesh.apply([sidecar]);
  // Envoy's worker threads free their memory a moment after Envoy has removed the clusters.
  const scoped = await mesh.waitFor('the scope to be live and the memory freed', async () => {
    const figures = await mesh.figures(pod);
    return figures.clusters < 20 && figures.allocatedBytes < full.allocatedBytes / 2 && figures;
  });
  console.log([row('before', before), row('full', full), row('scoped', scoped)].join('\n'));
  expect(full.allocatedBytes).toBeGreaterThan(4 * before.allocatedBytes);
  expect(scoped.allocatedBytes).toBeLessThan(full.allocatedBytes / 4);
  expect(scoped.configBytes).toBeLessThan(full.configBytes / 10);
});
