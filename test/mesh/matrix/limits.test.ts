import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import {
  deleteNamespaces,
  entryOf,
  hostOf,
  importedHosts,
  untilNarrowed,
} from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { enableNamespace } from '../../../box/product.ts';
import { appPorts, namespaceObject, workload } from '../../../box/shop.ts';
import type { BatchResult } from './outcome.ts';

// The limits of a DestinationRule show only under load. They must be the same before and after
// narrowing.

const mesh = openMesh();
const namespace = 'matrix-limits';
let client: PodRef;

const rule = (name: string, trafficPolicy: object) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'DestinationRule',
  metadata: { name, namespace },
  spec: { host: hostOf(namespace, name), trafficPolicy },
});

const rules = [
  rule('crowded', {
    connectionPool: { tcp: { maxConnections: 1 }, http: { http1MaxPendingRequests: 1 } },
  }),
  rule('failing', {
    outlierDetection: {
      consecutive5xxErrors: 3,
      interval: '1s',
      baseEjectionTime: '2s',
      maxEjectionPercent: 100,
    },
  }),
];

const urlOf = (name: string, path: string) => `http://${name}:${appPorts.http}${path}`;

async function batch(atOnce: number, urls: string[]): Promise<BatchResult[]> {
  const commands = JSON.stringify(urls.map((url) => ['--timeout', '30s', url]));
  const pod = { ...client, container: 'app' };
  const { stdout } = await mesh.exec(pod, ['meshapp', 'batch', String(atOnce)], commands);
  return JSON.parse(stdout) as BatchResult[];
}

/** Twelve calls at once. Each of Envoy's threads allows one active and one pending call. */
async function crowd() {
  const results = await batch(12, Array(12).fill(urlOf('crowded', '/delay/700ms')));
  const overloaded = results.filter(({ status, headers }) => {
    return status === 503 && headers?.['X-Envoy-Overloaded']?.join() === 'true';
  });
  const served = results.filter(({ status }) => status === 200);
  return {
    served: served.length > 0,
    overloaded: overloaded.length > 0,
    others: results.length - served.length - overloaded.length,
  };
}

/**
 * Makes three calls in a row that fail, and 30 calls that cover the ejection, which starts when
 * Envoy's threads have learned of the errors.
 */
async function fail() {
  const urls = ['/status/500', '/status/500', '/status/500', ...Array(30).fill('/')];
  const results = await batch(
    1,
    urls.map((path) => urlOf('failing', path)),
  );
  const statuses = results.map(({ status }) => status);
  return { first: statuses.slice(0, 3), refused: statuses.slice(3).includes(503) };
}

const both = async () => ({ crowd: await crowd(), fail: await fail() });
let before: Awaited<ReturnType<typeof both>>;
let after: Awaited<ReturnType<typeof both>>;

beforeAll(async () => {
  const names = ['client', 'crowded', 'failing'];
  await mesh.apply([
    namespaceObject(namespace),
    ...names.flatMap((name) => workload(namespace, name)),
    ...rules,
  ]);
  await mesh.rollout(namespace);
  client = await mesh.pod(namespace, 'app=client');
  await mesh.waitFor('the limits to be there', async () => (await crowd()).overloaded);
  before = await both();
  await enableNamespace(mesh, namespace, 'enforce');
  await untilNarrowed(mesh, namespace, ['client']);
  for (const name of ['crowded', 'failing']) {
    await call(mesh, client, urlOf(name, '/'));
    await mesh.waitFor(`${name} in the scope`, async () =>
      (await importedHosts(mesh, namespace, 'client')).includes(entryOf(namespace, name)),
    );
  }
  await mesh.waitFor('its limits', async () => (await crowd()).overloaded);
  after = await both();
});

afterAll(() => deleteNamespaces(mesh, namespace));

test('circuit breakers: requests above the limit are refused at once, and the others are served', () => {
  expect(before.crowd).toEqual({ served: true, overloaded: true, others: 0 });
  expect(after.crowd).toEqual(before.crowd);
});

test('outlier detection: an endpoint that fails three times in a row is ejected', () => {
  expect(before.fail).toEqual({ first: [500, 500, 500], refused: true });
  expect(after.fail).toEqual(before.fail);
});
