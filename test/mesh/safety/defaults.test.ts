import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CallResult, call } from '../../../box/app-call.ts';
import { outside } from '../../../box/cluster/network-plan.ts';
import { deleteNamespaces, importedHosts, untilNarrowed } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { enableNamespace, setMode } from '../../../box/product.ts';
import { appPorts, namespaceObject, workload } from '../../../box/shop.ts';
import { targetHost, targetUrl } from './rig.ts';

// A default Sidecar that sends what is unknown to a proxy of its own, and has a listener of its own.

const mesh = openMesh();
const namespace = 'defaults';
const localPort = 19_101;
const proxyHost = `squid.${namespace}.svc.cluster.local`;
const echoHost = `echo.${namespace}.svc.cluster.local`;
let client: PodRef;

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
        hosts: [`./${echoHost}`],
      },
      { hosts: ['*/*'] },
    ],
    outboundTrafficPolicy: {
      mode: 'ALLOW_ANY',
      egressProxy: { host: proxyHost, port: { number: appPorts.http } },
    },
  },
};

const echo = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'echo', namespace },
  spec: { selector: { app: 'squid' }, ports: [{ name: 'tcp', port: appPorts.tcpEcho }] },
};

beforeAll(async () => {
  await mesh.apply([
    namespaceObject(namespace),
    ...workload(namespace, 'client'),
    ...workload(namespace, 'squid'),
    echo,
    defaultSidecar,
  ]);
  await mesh.rollout(namespace);
  client = await mesh.pod(namespace, 'app=client');
});

afterAll(() => deleteNamespaces(mesh, namespace));

/** Who answered: the proxy, a Service of the mesh, the listener of its own. */
async function answers(index: number) {
  const served = ({ status, body }: CallResult) => [status, body?.name];
  const unknown = await call(mesh, client, `http://${outside.host}:${appPorts.http}/`);
  const inside = await call(mesh, client, targetUrl(index));
  const local = await call(mesh, client, `tcp://127.0.0.1:${localPort}`, '--send', 'line');
  return [served(unknown), served(inside), local.error ?? ''];
}

const expected = [[200, 'squid'], [200, 'server'], ''];

test('an egressProxy and a listener of its own stay what they were, for unknown and known calls', async () => {
  // istiod takes its time to have them.
  await mesh.waitFor('full configuration', async () => {
    const full = await answers(20);
    return JSON.stringify(full) === JSON.stringify(expected);
  });
  await enableNamespace(mesh, namespace, 'observe');
  await setMode(mesh, namespace, 'enforce');
  await untilNarrowed(mesh, namespace, ['client']);
  const imported = await importedHosts(mesh, namespace, 'client');
  expect(imported).toContain(`${namespace}/${proxyHost}`);
  // 21 was never called.
  expect(await answers(21)).toEqual(expected);
  await mesh.waitFor('the host that was called to be imported', async () =>
    (await importedHosts(mesh, namespace, 'client')).some((entry) =>
      entry.endsWith(`/${targetHost(21)}`),
    ),
  );
  expect(await answers(21)).toEqual(expected);
});
