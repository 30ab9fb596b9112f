import { afterAll, beforeAll, expect, test } from 'vitest';
import { hasCluster } from '../../../box/cluster-query.ts';
import {
  clusterNames,
  deleteNamespaces,
  scopeStatus,
  syntheticCluster,
  untilNarrowed,
} from '../../../box/fleet.ts';
import { openMesh } from '../../../box/mesh.ts';
import { enableNamespace, setMode } from '../../../box/product.ts';
import { runResult } from '../../../box/run.ts';
import { installShop, shopNamespace, shopWorkloads } from '../../../box/shop.ts';
import { proxySummary } from '../../../embedded/proxy-figures.ts';
import { growMesh } from './large-mesh.ts';

const mesh = openMesh();

/** The aims of the product for a mesh of 1,000 services. */
const allocatedShareMax = 0.1;
const clustersMax = 30;
/** The largest relative difference between the figures in WorkloadScope and Envoy's own figures. */
const tolerance = 0.05;

beforeAll(() => growMesh(mesh));

afterAll(() => deleteNamespaces(mesh, shopNamespace));

/**
 * Reads figures without a config dump, because a dump takes memory while the node companion may
 * read the memory.
 */
async function allFigures() {
  const figures = new Map<string, Awaited<ReturnType<typeof proxySummary>>>();
  for (const name of shopWorkloads) {
    const pod = await mesh.pod(shopNamespace, `app=${name}`);
    figures.set(name, await proxySummary((path) => mesh.admin(pod, path)));
  }
  return figures;
}

const near = (a = 0, b = 0) => Math.abs(a - b) <= tolerance * b;

test('in observe mode nothing is narrowed, and the scopes show the learned hosts', async () => {
  await installShop(mesh);
  await enableNamespace(mesh, shopNamespace, 'observe');
  await mesh.waitFor('every proxy to report', async () => {
    const states = await Promise.all(
      shopWorkloads.map((name) => scopeStatus(mesh, shopNamespace, name)),
    );
    return states.every(({ proxies, memory }) => proxies?.reporting === 1 && memory?.beforeBytes);
  });
  expect(await mesh.kubectl(['get', 'sidecars', '-n', shopNamespace, '-o', 'name'])).toBe('');
  expect(await clusterNames(mesh, await mesh.pod(shopNamespace, 'app=cart'))).toContain(
    'outbound|8080||service-0.synthetic-0.svc.cluster.local',
  );
});

test('in enforce mode every proxy has at most a tenth of the memory, and the figures agree with Envoy', async () => {
  const full = await allFigures();
  // The first reading may be older than the routes that the filter adds. The next reading follows
  // in 15 s.
  await mesh.waitFor('the last figures of full configuration', async () => {
    for (const [name, { allocatedBytes }] of full) {
      const { memory } = await scopeStatus(mesh, shopNamespace, name);
      if (!near(memory?.beforeBytes, allocatedBytes)) return false;
    }
    return true;
  });
  await setMode(mesh, shopNamespace, 'enforce');
  await untilNarrowed(mesh, shopNamespace, [...shopWorkloads]);
  const shares: string[] = [];
  await mesh.waitFor(
    'figures that agree with Envoy',
    async () => {
      shares.length = 0;
      for (const [name, now] of await allFigures()) {
        const { memory, clusters } = await scopeStatus(mesh, shopNamespace, name);
        const before = full.get(name);
        shares.push(`${name} ${(now.allocatedBytes / (before?.allocatedBytes ?? 1)).toFixed(3)}`);
        expect(now.clusters).toBeLessThanOrEqual(clustersMax);
        expect(now.allocatedBytes / (before?.allocatedBytes ?? 0)).toBeLessThan(allocatedShareMax);
        expect({
          name,
          before: near(memory?.beforeBytes, before?.allocatedBytes),
          after: near(memory?.afterBytes, now.allocatedBytes),
          clustersBefore: near(clusters?.before, before?.clusters),
          clustersAfter: near(clusters?.after, now.clusters),
          figures: [memory, clusters, now.allocatedBytes, now.clusters],
        }).toMatchObject({ before: true, after: true, clustersBefore: true, clustersAfter: true });
      }
      return true;
    },
    300,
  );
  console.log(`allocated, scoped/full: ${shares.join(', ')}`);
  console.log(await mesh.kubectl(['get', 'workloadscopes', '-n', shopNamespace]));
});

test('istioctl analyze finds no fault in the installed and generated objects', async () => {
  const [command = '', ...args] = mesh.argv('istioctl', ['analyze', '--failure-threshold', 'Info']);
  for (const namespace of [shopNamespace, 'lazyscope-system']) {
    const { code, stdout, stderr } = await runResult(command, [...args, '-n', namespace]);
    expect({ namespace, code, found: stdout.trim(), stderr }).toMatchObject({ code: 0, found: '' });
  }
});

test('mode off restores full configuration', async () => {
  await setMode(mesh, shopNamespace, 'off');
  const pod = await mesh.pod(shopNamespace, 'app=cart');
  await mesh.waitFor('the full configuration', () => hasCluster(mesh, pod, syntheticCluster));
});
