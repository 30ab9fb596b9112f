import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { outside } from '../../../box/cluster/network-plan.ts';
import { createFleet, deleteNamespaces, importedHosts, untilNarrowed } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { enableNamespace } from '../../../box/product.ts';
import { appPorts, namespaceObject, workload } from '../../../box/shop.ts';

const mesh = openMesh();
const namespace = 'outside';
const bare = 'outside-bare';
let client: PodRef;

const answered = { status: 200, kind: 'answer' };

/** Calls that do not involve mTLS, with the results of full configuration. */
const calls = [
  ['an external host by name', `http://${outside.host}:8080/a`, answered],
  ['an external host by address', `http://${outside.address}:8080/a`, answered],
  ['an external host on a port that is HTTP in the mesh', `http://${outside.host}:80/a`, answered],
  ['a service without a sidecar', `http://plain.${bare}:${appPorts.http}/a`, answered],
  [
    'a service without a sidecar, TCP',
    `tcp://plain.${bare}:${appPorts.tcpServerFirst}`,
    { status: 0, kind: 'answer' },
  ],
  ['a name that does not exist', 'http://no-such-host.example.com/', { status: 0, kind: 'error' }],
  // No Service of this mesh has the port, so the proxy forwards bytes, and the connection fails.
  ['a port on which nobody listens', `http://${outside.host}:8081/`, { status: 0, kind: 'error' }],
] as const;

async function answer(url: string) {
  const result = await call(mesh, client, url, '--timeout', '30s');
  const { name, path, peerIdentity } = result.body ?? {};
  const kind = result.error ? 'error' : 'answer';
  return { status: result.status, kind, name, path, peerIdentity };
}

const withFullConfiguration = new Map<string, Awaited<ReturnType<typeof answer>>>();

beforeAll(async () => {
  await mesh.apply([namespaceObject(bare, false), ...workload(bare, 'plain')]);
  await mesh.rollout(bare);
  await createFleet(mesh, { namespace, clients: ['client'], targets: 0, mode: 'off' });
  client = await mesh.pod(namespace, 'app=client');
  for (const [, url] of calls) withFullConfiguration.set(url, await answer(url));
  await enableNamespace(mesh, namespace, 'enforce');
  await untilNarrowed(mesh, namespace, ['client']);
});

afterAll(() => deleteNamespaces(mesh, namespace, bare));

test.each(calls)(
  '%s gives the answer of full configuration the first time and the second time',
  async (_, url, full) => {
    expect(withFullConfiguration.get(url)).toMatchObject(full);
    expect(await answer(url)).toEqual(withFullConfiguration.get(url));
    expect(await answer(url)).toEqual(withFullConfiguration.get(url));
  },
);

test('a host outside of the mesh does not enter the scope, and a service without a sidecar does', async () => {
  const entry = `${bare}/plain.${bare}.svc.cluster.local`;
  const hosts = await mesh.waitFor('the service in the scope', async () => {
    const now = await importedHosts(mesh, namespace, 'client');
    return now.includes(entry) && now;
  });
  expect(hosts.filter((host) => host.includes(outside.host))).toEqual([]);
});
