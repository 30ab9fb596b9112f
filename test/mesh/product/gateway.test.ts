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
/** The address of a server without a sidecar. */
let plain: string;

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
  const { name } = await mesh.pod(bare, 'app=plain');
  plain = (await mesh.get(['pod', name, '-n', bare])).status.podIP;
  const ready = await mesh.pod('lazyscope-system', 'app.kubernetes.io/name=lazyscope-egress');
  gateway = (await mesh.get(['pod', ready.name, '-n', 'lazyscope-system'])).status.podIP;
});

afterAll(() => deleteNamespaces(mesh, namespace, bare));

test('the gateway lends nobody its identity: a caller without permission has none through the gateway either', async () => {
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

const request = 'GET / HTTP/1.1\\r\\nhost: target-3\\r\\nconnection: close\\r\\n\\r\\n';

/**
 * Sends a request from a node, where no NetworkPolicy interferes, and returns the reply. Throws if
 * the connection fails. Waits until the server closes the connection or an error ends it.
 */
async function ask(command: string): Promise<string> {
  const script = `timeout ${silentSeconds} bash -c "${command}" 2>&1; [ $? != 124 ]`;
  const answer = await mesh.onNode('node-1', ['bash', '-c', script]);
  expect(answer).toContain('CONNECTED');
  return answer;
}

/** A server that neither answers nor closes within this time hangs. */
const silentSeconds = 60;

const plainly = (address: string) =>
  ask(
    `exec 3<>/dev/tcp/${address.replace(':', '/')} && echo CONNECTED && printf '${request}' >&3 && cat <&3`,
  );

const tlsTo = (address: string, sni: string, alpn: string) =>
  ask(
    `printf '${request}' | openssl s_client -ign_eof -connect ${address} -servername ${sni} -alpn ${alpn}`,
  );

const tls = (sni: string, alpn = 'istio') => tlsTo(`${gateway}:15443`, sni, alpn);

const serverSni = sniOf(`target-3.${namespace}.svc.cluster.local`);

test('a server in plain text answers a plain request, and the gateway does not', async () => {
  expect(await plainly(`${plain}:${appPorts.http}`)).toContain('HTTP/1.1 200');
  expect(await plainly(`${gateway}:15443`)).not.toContain('HTTP/1');
});

test('a server without mutual TLS answers a client without a certificate, and the gateway does not', async () => {
  const control = await tlsTo(`${plain}:${appPorts.tls}`, 'plain', 'http/1.1');
  expect(control).toContain('BEGIN CERTIFICATE');
  expect(control).toContain('HTTP/1.1 200');
  const answer = await tls(serverSni);
  // The gateway reaches the server, which requires a client certificate.
  expect(answer).toContain('BEGIN CERTIFICATE');
  expect(answer).toMatch(/certificate required|alert|errno/i);
  expect(answer).not.toContain('HTTP/1');
});

test.each([
  ['outside of the mesh', () => tls('example.com')],
  ['outside, as if it were a service', () => tls(sniOf('example.com', 443))],
  ['to a workload without a sidecar', () => tls(sniOf(`plain.${bare}.svc.cluster.local`))],
  ['by TLS that is not of Istio', () => tls(serverSni, 'h2')],
  ['to the API server', () => tls(sniOf('kubernetes.default.svc.cluster.local', 443))],
])(
  'the gateway does not lead %s, and in the same moment leads to a server',
  async (_where, attempt) => {
    const answer = await attempt();
    expect(answer).not.toContain('BEGIN CERTIFICATE');
    expect(answer).not.toContain('HTTP/1');
    expect(await tls(serverSni)).toContain('BEGIN CERTIFICATE');
  },
);
