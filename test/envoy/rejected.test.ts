import { createServer } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { issue, makeCa } from '../../companion/controller/nodes/x509.ts';
import { sentinelOf } from '../../companion/core/scope/sentinel.ts';
import { type ControlPlane, createControlPlane } from '../../embedded/control-plane.ts';
import { listen } from '../../embedded/listen.ts';
import { passthroughListener } from '../../embedded/listeners.ts';
import { place } from '../../embedded/objects.ts';
import { createProxy, type EnvoyProxy } from '../../embedded/proxy.ts';
import { type Reaper, startReaper } from '../../embedded/reaper.ts';
import { generateServices } from '../../embedded/services.ts';
import { readShippedPatches } from '../../embedded/shipped-patches.ts';

// If Envoy rejects a resource, the control plane names the resource with Envoy's own message, and
// Envoy keeps the previous configuration.

let reaper: Reaper;
let proxy: EnvoyProxy;
let controlPlane: ControlPlane;

const clusterType = 'type.googleapis.com/envoy.config.cluster.v3.Cluster';
const empty = { clusters: [], listeners: [], routes: new Map() };
const validity = { notBefore: new Date(), days: 2 };

async function clusters(): Promise<string> {
  return proxy.envoy().admin('/config_dump?resource=dynamic_active_clusters&name_regex=outbound.*');
}

async function startProxy(name: string): Promise<EnvoyProxy> {
  const ca = makeCa('cluster.local', validity);
  return createProxy({
    name,
    node: { id: name, cluster: name },
    keys: issue(ca, { name, uri: `spiffe://cluster.local/ns/shop/sa/${name}` }, validity),
    ca: ca.certificate,
    reaper,
    onEnd: () => undefined,
  });
}

beforeAll(async () => {
  reaper = await startReaper();
  proxy = await startProxy('client');
  controlPlane = createControlPlane({
    services: place(generateServices(6), 1),
    patches: readShippedPatches(),
    ports: { gateway: 1, kubeProxy: 1, backends: [1] },
  });
  await controlPlane.add(proxy, { namespace: 'shop', app: 'client', nodePort: 1 });
  await proxy.start();
});

afterAll(async () => {
  await proxy?.stop();
  await reaper?.finish();
});

test('a rejected cluster is named with the reason', async () => {
  const bad = {
    '@type': clusterType,
    name: 'bad|cluster',
    type: 'ORIGINAL_DST',
    lb_policy: 'MAGLEV',
  };
  const pushed = proxy.configure({ ...empty, clusters: [bad] });
  await expect(pushed).rejects.toThrow(/^Envoy client rejects bad\|cluster: .*ORIGINAL_DST/i);
});

test('a rejected listener is named, and every change that came with it is reverted', async () => {
  const before = await clusters();
  const sentinel = sentinelOf([8080, 70_000], 'lazyscope-system');
  await expect(controlPlane.distribute(sentinel)).rejects.toThrow(/^Envoy client rejects .*70000/);
  expect(await clusters()).toBe(before);
});

test('Envoy accepts valid configuration after a rejection', async () => {
  await controlPlane.distribute(sentinelOf([7070], 'lazyscope-system'));
  expect(await proxy.envoy().admin('/listeners')).toContain('0.0.0.0_7070::');
});

test('a port that another process uses is named', async () => {
  const taken = await listen(createServer());
  const other = await startProxy('gateway');
  try {
    await other.configure({ ...empty, listeners: [passthroughListener(taken.port, ['a.b'])] });
    await expect(other.start()).rejects.toThrow(
      new RegExp(`^Envoy gateway rejects 0.0.0.0_15443: .*127.0.0.1:${taken.port}.*in use`),
    );
  } finally {
    await other.stop();
    await taken.stop();
  }
});
