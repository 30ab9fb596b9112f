import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { outside } from '../../../box/cluster/network-plan.ts';
import { hasCluster, literally } from '../../../box/cluster-query.ts';
import { clusterNames, createFleet, deleteNamespaces, scopeStatus } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { appPorts, namespaceObject, workload } from '../../../box/shop.ts';

// One host in several ServiceEntries: two of one namespace, which istiod makes one host of, and one
// of another namespace, from which istiod chooses.

const mesh = openMesh();
const namespace = 'entries';
const unscoped = 'entries-full';
const [first, second] = ['entries-first', 'entries-second'] as const;
const host = `twice.${outside.domain}`;
const ports = { [appPorts.http]: first, 8088: first, 8089: second };
let client: PodRef;
let full: PodRef;

const entry = (owner: string, number: number) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name: `twice-${number}`, namespace: owner },
  spec: {
    hosts: [host],
    location: 'MESH_EXTERNAL',
    resolution: 'DNS',
    ports: [{ number, name: `http-${number}`, protocol: 'HTTP', targetPort: appPorts.http }],
  },
});

/** Without its route, a call is refused. */
const registryOnly = (owner: string) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'Sidecar',
  metadata: { name: 'default', namespace: owner },
  spec: { egress: [{ hosts: ['*/*'] }], outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } },
});

beforeAll(async () => {
  await mesh.apply([
    ...[first, second, unscoped, namespace].map((name) => namespaceObject(name)),
    ...Object.entries(ports).map(([number, owner]) => entry(owner, Number(number))),
    ...[unscoped, namespace].map(registryOnly),
    ...workload(unscoped, 'client'),
  ]);
  await createFleet(mesh, { namespace, clients: ['client'], targets: 0 });
  await mesh.rollout(unscoped);
  full = await mesh.pod(unscoped, 'app=client');
  client = await mesh.pod(namespace, 'app=client');
  await mesh.waitFor('the host in full configuration', () =>
    hasCluster(mesh, full, literally(`outbound|${appPorts.http}||${host}`)),
  );
});

afterAll(() => deleteNamespaces(mesh, namespace, unscoped, first, second));

async function statuses(from: PodRef): Promise<[string, number][]> {
  const all = Object.keys(ports).map(async (port): Promise<[string, number]> => {
    return [port, (await call(mesh, from, `http://${host}:${port}/`)).status];
  });
  return Promise.all(all);
}

const clustersOf = async (pod: PodRef) =>
  (await clusterNames(mesh, pod)).filter((name) => name.endsWith(`|${host}`)).sort();

test('the entries of one namespace are in the scope together, and each port answers as with full configuration', async () => {
  const { hosts = [] } = await scopeStatus(mesh, namespace, 'client');
  expect(hosts.map((each) => each.host)).toContain(`${first}/${host}`);
  await mesh.waitFor('the ports of full configuration', async () => {
    const wanted = (await clustersOf(full)).join();
    return wanted !== '' && (await clustersOf(client)).join() === wanted;
  });
  const wanted = await statuses(full);
  expect(wanted).toEqual(
    expect.arrayContaining([
      [String(appPorts.http), 200],
      ['8088', 200],
    ]),
  );
  expect(await statuses(client)).toEqual(wanted);
});
