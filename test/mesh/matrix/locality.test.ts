import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call, type Seen } from '../../../box/app-call.ts';
import {
  deleteNamespaces,
  entryOf,
  hostOf,
  importedHosts,
  untilNarrowed,
} from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { enableNamespace } from '../../../box/product.ts';
import { appContainer, appPorts, namespaceObject, workload } from '../../../box/shop.ts';
import type { BatchResult } from './outcome.ts';

// One Service with an endpoint in the caller's zone and one in another zone. The tests record which
// endpoint answers, before and after narrowing.

const mesh = openMesh();
const namespace = 'matrix-locality';
const region = 'topology.kubernetes.io/region';
const zone = 'topology.kubernetes.io/zone';
const labels = { app: 'server' };
const url = (path: string) => `http://server:${appPorts.http}${path}`;
const baseEjectionSeconds = 2;
let client: PodRef;

const nodes = mesh.state.nodes.map(({ name }) => name);
const [home = '', away = ''] = nodes;

const meta = (name: string) => ({ name, namespace });
const server = (name: string, node: string): object => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: meta(name),
  spec: {
    selector: { matchLabels: { ...labels, at: name } },
    template: {
      metadata: { labels: { ...labels, at: name } },
      spec: {
        nodeSelector: { 'kubernetes.io/hostname': node },
        containers: [appContainer(name)],
      },
    },
  },
});

const objects = [
  namespaceObject(namespace),
  ...workload(namespace, 'client', { node: home }),
  server('near', home),
  server('far', away),
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: meta('server'),
    spec: { selector: labels, ports: [{ name: 'http', port: appPorts.http }] },
  },
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: meta('server'),
    spec: {
      host: hostOf(namespace, 'server'),
      trafficPolicy: {
        loadBalancer: { simple: 'ROUND_ROBIN', localityLbSetting: { enabled: true } },
        outlierDetection: {
          consecutive5xxErrors: 3,
          interval: '1s',
          baseEjectionTime: `${baseEjectionSeconds}s`,
          maxEjectionPercent: 100,
        },
      },
    },
  },
];

async function answerers(paths: string[]): Promise<string[]> {
  const commands = JSON.stringify(paths.map((path) => ['--timeout', '30s', url(path)]));
  const pod = { ...client, container: 'app' };
  const { stdout } = await mesh.exec(pod, ['meshapp', 'batch', '1'], commands);
  return (JSON.parse(stdout) as BatchResult[]).map(({ body }) => (body as Seen | null)?.name ?? '');
}

/**
 * The endpoints that answer normally, and the endpoint that answers after the near one has failed
 * three times in a row.
 */
async function outcome() {
  const calm = new Set(await answerers(Array(12).fill('/')));
  const failed = await answerers([...Array(3).fill('/status/500'), ...Array(30).fill('/')]);
  return { calm: [...calm], afterFailures: failed.includes('far') ? 'far' : failed.at(-1) };
}

const settled = { calm: ['near'], afterFailures: 'far' };

/** Waits until the ejection of the previous round is over. */
async function untilSettled(): Promise<void> {
  await mesh.waitFor('calls to stay in the zone', async () => {
    await sleep(baseEjectionSeconds * 1000);
    return (await answerers(Array(12).fill('/'))).every((name) => name === 'near');
  });
}

let before: Awaited<ReturnType<typeof outcome>>;
let after: Awaited<ReturnType<typeof outcome>>;

beforeAll(async () => {
  // Pods read their locality from their node when they start.
  for (const [index, node] of nodes.entries())
    await mesh.kubectl(['label', 'node', node, `${region}=here`, `${zone}=z${index}`]);
  await mesh.apply(objects);
  await mesh.rollout(namespace);
  client = await mesh.pod(namespace, 'app=client');
  await untilSettled();
  before = await outcome();
  await enableNamespace(mesh, namespace, 'enforce');
  await untilNarrowed(mesh, namespace, ['client']);
  await call(mesh, client, url('/'));
  await mesh.waitFor('the server in the scope', async () =>
    (await importedHosts(mesh, namespace, 'client')).includes(entryOf(namespace, 'server')),
  );
  await untilSettled();
  after = await outcome();
});

afterAll(async () => {
  for (const node of nodes) await mesh.kubectl(['label', 'node', node, `${region}-`, `${zone}-`]);
  await deleteNamespaces(mesh, namespace);
});

test('with full configuration calls stay in their zone, and leave it when its endpoint fails', () => {
  expect(before).toEqual(settled);
});

test('calls to a destination in scope stay in their zone and leave it in the same cases', () => {
  expect(after).toEqual(before);
});
