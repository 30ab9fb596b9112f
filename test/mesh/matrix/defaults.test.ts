import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CallResult, call } from '../../../box/app-call.ts';
import { outside } from '../../../box/cluster/network-plan.ts';
import {
  deleteNamespaces,
  entryOf,
  hostOf,
  importedHosts,
  serviceObject,
  untilNarrowed,
} from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { enableNamespace } from '../../../box/product.ts';
import { appPorts, namespaceObject, workload } from '../../../box/shop.ts';
import { type Kept, keepFull, lossesOf, type ProxyRef } from './proxies.ts';

// A default Sidecar that sends unknown calls to a proxy of its own, has a listener of its own, and
// says how calls arrive.

const mesh = openMesh();
const namespace = 'matrix-defaults';
const localPort = 19_101;
const proxies: ProxyRef[] = ['client', 'server', 'squid'].map((name) => ({ namespace, name }));
let client: PodRef;
let kept: Kept;

const defaultSidecar = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'Sidecar',
  metadata: { name: 'default', namespace },
  spec: {
    egress: [
      {
        port: { number: localPort, protocol: 'TCP', name: 'local' },
        bind: '127.0.0.1',
        captureMode: 'NONE',
        hosts: [`./${hostOf(namespace, 'echo')}`],
      },
      { hosts: ['*/*'] },
    ],
    ingress: [
      {
        port: { number: appPorts.http, protocol: 'HTTP', name: 'http' },
        defaultEndpoint: `127.0.0.1:${appPorts.http}`,
        connectionPool: { http: { http2MaxRequests: 23 } },
      },
    ],
    inboundConnectionPool: { tcp: { maxConnections: 29 } },
    outboundTrafficPolicy: {
      mode: 'ALLOW_ANY',
      egressProxy: { host: hostOf(namespace, 'squid'), port: { number: appPorts.http } },
    },
  },
};

const echo = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'echo', namespace },
  spec: {
    selector: { app: 'squid' },
    // A listener has the Services that declare its port.
    ports: [{ name: 'tcp', port: localPort, targetPort: appPorts.tcpEcho }],
  },
};

beforeAll(async () => {
  await mesh.apply([
    namespaceObject(namespace),
    ...proxies.flatMap(({ name }) => workload(namespace, name)),
    ...[echo, defaultSidecar, serviceObject(namespace, 'later')],
  ]);
  await mesh.rollout(namespace);
  client = await mesh.pod(namespace, 'app=client');
});

afterAll(async () => {
  await kept?.forget();
  await deleteNamespaces(mesh, namespace);
});

/** Who answered: the proxy, a Service of the mesh, the listener of its own. */
async function answers(service: string) {
  const served = ({ status, body }: CallResult) => [status, body?.name];
  const unknown = await call(mesh, client, `http://${outside.host}:${appPorts.http}/`);
  const inside = await call(mesh, client, `http://${service}:${appPorts.http}/`);
  const local = await call(mesh, client, `tcp://127.0.0.1:${localPort}`, '--send', 'line');
  return [served(unknown), served(inside), local.error ?? ''];
}

const expected = [[200, 'squid'], [200, 'server'], ''];

test('an egressProxy and a listener of its own stay what they were, for unknown and known calls', async () => {
  await mesh.waitFor('full configuration', async () => {
    const full = await answers('server');
    return JSON.stringify(full) === JSON.stringify(expected);
  });
  kept = await keepFull(mesh, proxies);
  await enableNamespace(mesh, namespace, 'enforce');
  await untilNarrowed(mesh, namespace, ['client', 'server', 'squid']);
  const imported = await importedHosts(mesh, namespace, 'client');
  expect(imported).toContain(entryOf(namespace, 'squid'));
  // Nobody has called it.
  expect(imported).not.toContain(entryOf(namespace, 'later'));
  expect(await answers('later')).toEqual(expected);
  await mesh.waitFor('the host that was called to be imported', async () =>
    (await importedHosts(mesh, namespace, 'client')).includes(entryOf(namespace, 'later')),
  );
  expect(await answers('later')).toEqual(expected);
});

test.each(proxies.map((proxy) => [proxy.name, proxy] as const))(
  '%s has everything imported and inbound as with full configuration, and nothing dangles',
  async (_name, proxy) => expect(await lossesOf(mesh, proxy, kept)).toEqual([]),
);
