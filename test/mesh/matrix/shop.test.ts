import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { deleteNamespaces, entryOf, importedHosts, untilNarrowed } from '../../../box/fleet.ts';
import { openMesh } from '../../../box/mesh.ts';
import { enableNamespace } from '../../../box/product.ts';
import {
  appPorts,
  installShop,
  shopNamespace as namespace,
  shopWorkloads,
} from '../../../box/shop.ts';
import { type Kept, keepFull, lossesOf, type ProxyRef } from './proxies.ts';

// The shop as a user has it, with what its workloads say about calls that arrive: all of it is left
// as it was when its workloads are narrowed and call each other.

const mesh = openMesh();
const proxies: ProxyRef[] = shopWorkloads.map((name) => ({ namespace, name }));
let kept: Kept;

const security = (kind: string, name: string, spec: object) => ({
  ...{ apiVersion: 'security.istio.io/v1', kind, metadata: { name, namespace }, spec },
});

const arriving = [
  security('PeerAuthentication', 'default', { mtls: { mode: 'STRICT' } }),
  security('PeerAuthentication', 'reviews', {
    selector: { matchLabels: { app: 'reviews' } },
    ...{ mtls: { mode: 'STRICT' }, portLevelMtls: { [appPorts.tcpEcho]: { mode: 'DISABLE' } } },
  }),
  security('AuthorizationPolicy', 'payment', {
    selector: { matchLabels: { app: 'payment' } },
    rules: [{ from: [{ source: { principals: [`cluster.local/ns/${namespace}/sa/checkout`] } }] }],
  }),
  {
    ...{ apiVersion: 'networking.istio.io/v1', kind: 'DestinationRule' },
    metadata: { name: 'inventory', namespace },
    spec: {
      host: 'inventory',
      trafficPolicy: { connectionPool: { http: { idleTimeout: '17s', http2MaxRequests: 19 } } },
    },
  },
];

/** Each calls the next, by every protocol; the last is not called. */
const steps = shopWorkloads.slice(1).map((to, i) => [String(shopWorkloads[i]), to] as const);

const urls = (to: string) => [
  `http://${to}:${appPorts.http}/`,
  `grpc://${to}:${appPorts.grpc}`,
  `tcp://${to}:${appPorts.tcpEcho}`,
];

beforeAll(async () => {
  await installShop(mesh);
  await mesh.apply(arriving);
  await mesh.waitFor('what inventory limits in its own proxy', async () => {
    const pod = await mesh.pod(namespace, 'app=inventory');
    return (await mesh.admin(pod, '/config_dump')).includes('"idle_timeout": "17s"');
  });
  kept = await keepFull(mesh, proxies);
  await enableNamespace(mesh, namespace, 'enforce');
  await untilNarrowed(mesh, namespace, [...shopWorkloads]);
  await Promise.all(
    steps.map(async ([from, to]) => {
      const pod = await mesh.pod(namespace, `app=${from}`);
      await Promise.all(urls(to).map((url) => call(mesh, pod, url, '--data', 'x')));
    }),
  );
});

afterAll(async () => {
  await kept?.forget();
  await deleteNamespaces(mesh, namespace);
});

test.each(steps)('%s has %s in its scope', async (from, to) => {
  await mesh.waitFor(`${to} in the scope of ${from}`, async () =>
    (await importedHosts(mesh, namespace, from)).includes(entryOf(namespace, to)),
  );
});

test.each(proxies.map((proxy) => [proxy.name, proxy] as const))(
  '%s has everything imported and inbound as with full configuration, and nothing dangles',
  async (_name, proxy) => expect(await lossesOf(mesh, proxy, kept)).toEqual([]),
);
