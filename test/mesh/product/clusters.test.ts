import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import {
  clusterNames,
  createFleet,
  deleteNamespaces,
  entryOf,
  hostOf,
  importedHosts,
  scopeStatus,
  serviceObject,
  succeeded,
} from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { type RemoteCluster, startRemoteCluster } from '../../../box/remote-cluster.ts';
import { appPorts, namespaceObject, workload } from '../../../box/shop.ts';
import { deleteImport, joinClusterSet, leaveClusterSet, shareService } from './cluster-set.ts';

// A second cluster of the mesh. Lazyscope sees only the configuration that istiod makes of it.

const mesh = openMesh();
const namespace = 'clusters';
const unscoped = 'clusters-full';
const ports = [{ name: 'http', port: appPorts.http }];
/**
 * Both are Services of the mesh. The first cluster has one of the two Services, and no endpoint of
 * either.
 */
const both = ['elsewhere', 'far'];
let remote: RemoteCluster;
let full: PodRef;

/**
 * A URL with an address that is unique in the mesh. The name in the request says which host is
 * meant.
 */
const urlOf = (name: string) => `http://${addressOf[name] ?? ''}:${appPorts.http}/`;
const addressOf: Record<string, string> = {};
const callOf = (from: PodRef, name: string) =>
  call(mesh, from, urlOf(name), '--host', `${hostOf(namespace, name)}:${appPorts.http}`);

beforeAll(async () => {
  remote = await startRemoteCluster(mesh);
  const clients = ['teller', 'client', 'other', 'idle'];
  await createFleet(mesh, { namespace, clients, targets: 0, strict: true });
  await mesh.apply([
    namespaceObject(unscoped),
    ...workload(unscoped, 'client'),
    serviceObject(namespace, 'elsewhere', { selector: undefined, ports }),
  ]);
  await mesh.rollout(unscoped);
  full = await mesh.pod(unscoped, 'app=client');
  const server = await mesh.pod(namespace, 'app=server');
  const { status } = await mesh.get(['pod', server.name, '-n', namespace]);
  await remote.apply([
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    ...both.map((name) => serviceObject(namespace, name, { selector: { app: name }, ports })),
  ]);
  for (const service of both) {
    const account = 'server';
    await remote.endpoint({ namespace, service, account, ip: status.podIP, ports });
  }
  const { spec } = await mesh.get(['service', 'elsewhere', '-n', namespace]);
  for (const name of both) addressOf[name] = spec.clusterIP;
  await mesh.waitFor('istiod to know the endpoint of both', async () => {
    const known = await mesh.admin(full, '/clusters');
    return both.every((name) =>
      known.includes(`outbound|${appPorts.http}||${hostOf(namespace, name)}::${status.podIP}:`),
    );
  });
});

afterAll(async () => {
  await remote?.stop();
  await deleteNamespaces(mesh, namespace, unscoped);
});

test.each(both)('with full configuration, %s is answered from the other cluster', async (name) => {
  const { status, body } = await callOf(full, name);
  expect([status, body.name]).toEqual([200, 'server']);
});

describe('a first call', () => {
  test('to a Service whose endpoints are in the other cluster succeeds under the identity of the caller', async () => {
    const client = await mesh.pod(namespace, 'app=client');
    const identity = `spiffe://cluster.local/ns/${namespace}/sa/client`;
    const result = await callOf(client, 'elsewhere');
    expect(succeeded(result, identity)).toEqual({ status: 200, error: '', sees: true });
    await mesh.waitFor('it to be in the scope', async () =>
      (await importedHosts(mesh, namespace, 'client')).includes(entryOf(namespace, 'elsewhere')),
    );
  });
});

test('a host that only istiod has is learned from a proxy that uses it, and is then known to the namespace', async () => {
  const teller = await mesh.pod(namespace, 'app=teller');
  const pin = { spec: { pins: [entryOf(namespace, 'far')] } };
  const patch = ['--type', 'merge', '-p', JSON.stringify(pin)];
  await mesh.kubectl(['patch', 'workloadscope', 'teller', '-n', namespace, ...patch]);
  const cluster = `outbound|${appPorts.http}||${hostOf(namespace, 'far')}`;
  await mesh.waitFor('the pin in the proxy', async () =>
    (await clusterNames(mesh, teller)).includes(cluster),
  );
  expect((await callOf(teller, 'far')).status).toBe(200);
  const other = await mesh.pod(namespace, 'app=other');
  await mesh.waitFor('it to be known to others', async () => {
    const result = await callOf(other, 'far');
    return result.status === 200 && result.body.name === 'server';
  });
  // The leader may learn of the host later than the replica that answered, so the app calls again
  // until the leader has learned the call.
  await mesh.waitFor('it to be in the scope', async () => {
    expect((await callOf(other, 'far')).status).toBe(200);
    return (await importedHosts(mesh, namespace, 'other')).includes(entryOf(namespace, 'far'));
  });
  const known = await callOf(other, 'far');
  expect([known.status, known.body.name]).toEqual([200, 'server']);
});

describe('a Service that a ServiceImport imports from the other cluster', () => {
  // No kube-proxy serves the address: only istiod knows where it leads.
  const far = { namespace, name: 'far', ip: '10.96.255.7', port: appPorts.http };
  const setHost = `far.${namespace}.svc.clusterset.local`;
  const entry = `${namespace}/${setHost}`;
  const callSet = (from: PodRef) =>
    call(mesh, from, `http://${far.ip}:${far.port}/`, '--host', `${setHost}:${far.port}`);
  const reasonOf = async (name: string) => {
    const { hosts = [] } = await scopeStatus(mesh, namespace, name);
    return hosts.find(({ host }) => host === entry)?.reason;
  };

  beforeAll(async () => {
    await joinClusterSet(mesh, remote);
    await shareService(mesh, remote, far);
    const client = await mesh.pod(namespace, 'app=client');
    for (const pod of [full, client])
      await mesh.waitFor(`${setHost} with its endpoint in ${pod.namespace}`, async () =>
        (await mesh.admin(pod, '/clusters')).includes(`||${setHost}::10.`),
      );
  });

  afterAll(() => leaveClusterSet(mesh));

  test('is answered with full configuration', async () => {
    const { status, body } = await callSet(full);
    expect([status, body.name]).toEqual([200, 'server']);
  });

  test('is in every scope before its first call, which has the result of full configuration', async () => {
    expect(await reasonOf('client')).toBe('eager');
    const client = await mesh.pod(namespace, 'app=client');
    const identity = `spiffe://cluster.local/ns/${namespace}/sa/client`;
    expect(succeeded(await callSet(client), identity)).toMatchObject({ status: 200, sees: true });
    await mesh.waitFor('it to be learned', async () => (await reasonOf('client')) === 'learned');
    expect(succeeded(await callSet(client), identity)).toMatchObject({ status: 200, sees: true });
  });

  test('leaves the scopes of those that never called it with the ServiceImport, and is kept by others', async () => {
    await deleteImport(mesh, far);
    await mesh.waitFor('no entry where it was never called', async () => {
      const hosts = await importedHosts(mesh, namespace, 'idle');
      return !hosts.includes(entry);
    });
    expect(await reasonOf('client')).toBe('learned');
  });
});
