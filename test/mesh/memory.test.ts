import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../box/app-call.ts';
import { openMesh, type PodRef } from '../../box/mesh.ts';
import { kubeconfigPath, repoDir } from '../../box/paths.ts';
import { runResult } from '../../box/run.ts';
import { appPorts, namespaceObject, workload } from '../../box/shop.ts';
import type { ProxyFigures } from '../../embedded/proxy-figures.ts';

const mesh = openMesh();
const namespace = 'memory';
/** Services without pods and with two ports each; istiod makes one cluster for each port. */
const services = 1000;
const telemetry = {
  ...{ apiVersion: 'telemetry.istio.io/v1', kind: 'Telemetry' },
  metadata: { name: 'logs', namespace },
  spec: { accessLogging: [{ providers: [{ name: 'envoy' }] }] },
};

let pod: PodRef;

beforeAll(async () => {
  const workloads = ['client', 'server'].flatMap((name) => workload(namespace, name));
  await mesh.apply([namespaceObject(namespace)]);
  await mesh.apply([telemetry, ...workloads]);
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

type Size = { clusters: number; memoryBytes: number };
type Recommended = { yaml: string; predicted: { before: Size; after: Size } };

/** What the command makes of the access logs of the sidecar, as a user pipes them to it. */
async function recommended(): Promise<Recommended> {
  const logs = ['logs', '-n', namespace, pod.name, '-c', 'istio-proxy', '--tail=-1', '--prefix'];
  const input = await mesh.kubectl(logs);
  const node = [process.execPath, '--import', 'tsx', 'command/main.ts'];
  const [command = '', ...args] = mesh.inNetwork([...node, 'recommend', '-', '-n', namespace]);
  const env = { ...process.env, KUBECONFIG: kubeconfigPath };
  const { stdout, stderr } = await runResult(command, [...args, '-o', 'json'], {
    ...{ input, cwd: repoDir, env },
  });
  expect(stderr).not.toContain('broken: ');
  const { recommendations } = JSON.parse(stdout) as { recommendations: Recommended[] };
  expect(recommendations).toHaveLength(1);
  return recommendations[0] as Recommended;
}

/** The sidecar with the clusters of all services, once two readings of its memory agree. */
async function filled(): Promise<ProxyFigures> {
  let last = 0;
  return mesh.waitFor(
    'the clusters of all services and the memory that they take',
    async () => {
      const figures = await mesh.figures(pod);
      // Envoy's worker threads take their share a moment after Envoy has added the clusters.
      const grown = figures.allocatedBytes / last - 1;
      last = figures.allocatedBytes;
      // The number before may still have clusters of a namespace that another file deleted.
      return figures.clusters > 2 * services && Math.abs(grown) < 0.005 && figures;
    },
    180,
  );
}

/** The workload in a new pod, which has never been full, after the same call. */
async function restart(): Promise<ProxyFigures> {
  await mesh.kubectl(['delete', 'pod', pod.name, '-n', namespace]);
  await mesh.rollout(namespace);
  pod = await mesh.pod(namespace, 'app=client');
  await call(mesh, pod, `http://server:${appPorts.http}/`);
  return mesh.figures(pod);
}

test('1,000 services fill a sidecar, and the Sidecar that its logs recommend empties it as predicted', async () => {
  const before = await mesh.figures(pod);
  await mesh.createServices(services);
  const full = await filled();
  await call(mesh, pod, `http://server:${appPorts.http}/`);
  const { yaml, predicted } = await mesh.waitFor('the call in the access log', async () => {
    const found = await recommended().catch(() => undefined);
    return found?.yaml.includes(`${namespace}/server.`) && found;
  });
  await mesh.apply(yaml);
  // Envoy's worker threads free their memory a moment after Envoy has removed the clusters.
  const scoped = await mesh.waitFor('the scope to be live and the memory freed', async () => {
    const figures = await mesh.figures(pod);
    return figures.clusters < 30 && figures.allocatedBytes < full.allocatedBytes / 2 && figures;
  });
  const restarted = await restart();
  const rows = { before, full, scoped, restarted };
  console.log(
    Object.entries(rows)
      .map(([name, figures]) => row(name, figures))
      .join('\n'),
  );
  console.log(`predicted: ${JSON.stringify(predicted)}`);
  const ratios = {
    before: predicted.before.clusters / full.clusters,
    after: predicted.after.clusters / scoped.clusters,
    memory: predicted.before.memoryBytes / full.allocatedBytes,
    // A proxy that was full keeps some megabytes until it ends.
    memoryAfter: predicted.after.memoryBytes / restarted.allocatedBytes,
  };
  for (const [name, ratio] of Object.entries(ratios)) {
    expect(ratio, name).toBeGreaterThan(0.9);
    expect(ratio, name).toBeLessThan(1.1);
  }
  expect(full.allocatedBytes).toBeGreaterThan(4 * before.allocatedBytes);
  expect(scoped.allocatedBytes).toBeLessThan(full.allocatedBytes / 4);
  expect(scoped.configBytes).toBeLessThan(full.configBytes / 10);
});
