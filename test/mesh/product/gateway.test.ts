import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { createFleet, deleteNamespaces, onlyClient, urlOf } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { appPorts, namespaceObject, workload } from '../../../box/shop.ts';

const mesh = openMesh();
const namespace = 'reach';
const bare = 'reach-bare';
let client: PodRef;
let other: PodRef;
let gateway: string;

const sniOf = (host: string, port = appPorts.http) => `outbound_.${port}_._.${host}`;

beforeAll(async () => {
  await mesh.apply([namespaceObject(bare, false), ...workload(bare, 'plain')]);
  await createFleet(mesh, {
    namespace,
    clients: ['client', 'other'],
    targets: 4,
    firstCall: 'gateway',
    strict: true,
  });
  await mesh.apply([onlyClient(namespace)]);
  await mesh.rollout(bare);
  client = await mesh.pod(namespace, 'app=client');
  other = await mesh.pod(namespace, 'app=other');
  const ready = await mesh.pod('lazyscope-system', 'app.kubernetes.io/name=lazyscope-egress');
  gateway = (await mesh.get(['pod', ready.name, '-n', 'lazyscope-system'])).status.podIP;
});

afterAll(() => deleteNamespaces(mesh, namespace, bare));

test('the gateway lends nobody its identity: who may not call directly may not by it either', async () => {
  await mesh.waitFor('the policy', async () => {
    return (await call(mesh, other, urlOf(0))).status === 403;
  });
  expect(await call(mesh, other, urlOf(1))).toMatchObject({ status: 403 });
  const identity = `spiffe://cluster.local/ns/${namespace}/sa/client`;
  expect(await call(mesh, client, urlOf(2))).toMatchObject({
    status: 200,
    body: { peerIdentity: identity },
  });
});

/** What comes back from the gateway's port, from a node: policies of the network are not relied on. */
async function ask(command: string): Promise<string> {
  const request = 'GET / HTTP/1.1\\r\\nhost: target-3\\r\\nconnection: close\\r\\n\\r\\n';
  const script = `(printf '${request}'; sleep 1) | timeout 5 ${command} 2>&1 || true`;
  return mesh.onNode('node-1', ['bash', '-c', script]);
}

const tls = (sni: string, alpn = 'istio') =>
  ask(`openssl s_client -connect ${gateway}:15443 -servername ${sni} -alpn ${alpn}`);

test('it takes no plaintext', async () => {
  expect(await ask(`bash -c 'exec 3<>/dev/tcp/${gateway}/15443; cat >&3 & cat <&3'`)).not.toContain(
    'HTTP/1',
  );
});

test('it leads to nothing without a certificate of the mesh', async () => {
  const answer = await tls(sniOf(`target-3.${namespace}.svc.cluster.local`));
  // It does lead to the server, which wants to know who it is.
  expect(answer).toContain('BEGIN CERTIFICATE');
  expect(answer).toMatch(/certificate required|alert|errno/i);
  expect(answer).not.toContain('HTTP/1');
});

test.each([
  ['outside of the mesh', () => tls('example.com')],
  ['outside, as if it were a service', () => tls(sniOf('example.com', 443))],
  ['to a workload without a sidecar', () => tls(sniOf(`plain.${bare}.svc.cluster.local`))],
  [
    'by TLS that is not of Istio',
    () => tls(sniOf(`target-3.${namespace}.svc.cluster.local`), 'h2'),
  ],
  ['to the API server', () => tls(sniOf('kubernetes.default.svc.cluster.local', 443))],
])('it does not lead %s', async (_where, attempt) => {
  const answer = await attempt();
  expect(answer).not.toContain('BEGIN CERTIFICATE');
  expect(answer).not.toContain('HTTP/1');
});
