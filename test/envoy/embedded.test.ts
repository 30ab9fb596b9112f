import { request } from 'node:http';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Mesh, startMesh } from '../../embedded/mesh.ts';
import { generateServices } from '../../embedded/services.ts';

// The whole product without a cluster: real Envoys, the shipped filter, both roles of the
// companion.

let mesh: Mesh;
/** Hosts that a filter asked about, with the strategy of the answer. */
const answered: string[] = [];
const steady = 'http://cart:8080/';
const unused = 'http://catalogue:8080/';

const call = (url: string, options = {}) => mesh.sidecar('scoped').app.call(url, options);
const admin = (path: string) => mesh.sidecar('scoped').proxy.envoy().admin(path);

function scope(): string[] {
  return mesh.registry.get('Sidecar', 'shop', 'lazyscope-scoped')?.spec.egress[0].hosts ?? [];
}

async function names(path: string): Promise<string[]> {
  const text = await admin(path);
  return [...text.matchAll(/"name": "([^"]+)"/g)].map(([, name = '']) => name);
}

beforeAll(async () => {
  mesh = await startMesh({
    services: generateServices(40),
    workloads: [
      { name: 'full', mode: 'observe' },
      { name: 'scoped', mode: 'enforce' },
    ],
    settings: { learningWindowSeconds: 1, ttlSeconds: 10 },
    log: pino({ level: 'silent' }),
    onAnswer: ({ call: asked }, { strategy }) =>
      void answered.push(`${asked?.authority} ${strategy}`),
  });
  for (const url of [steady, unused]) expect((await call(url)).status).toBe(200);
  await vi.waitUntil(() => scope().length > 0, { timeout: 60_000 });
});

afterAll(() => mesh?.stop());

test('a scoped sidecar carries the hosts that its workload used, under istiod’s names', async () => {
  const clusters = await names('/config_dump?resource=dynamic_active_clusters');
  expect(clusters).toEqual(
    expect.arrayContaining([
      'outbound|8080||cart.shop.svc.cluster.local',
      'PassthroughCluster',
      'lazyscope-egress',
      'lazyscope-direct',
    ]),
  );
  expect(clusters).not.toContain('outbound|8080||stock.shop.svc.cluster.local');
  // The proxy has the sentinel's listeners (see below), but not its clusters, which would be
  // useless.
  expect(clusters).not.toContain('outbound|80||http-ports.lazyscope.internal');
  const listeners = await names('/config_dump?resource=dynamic_listeners');
  expect(listeners).toEqual(
    expect.arrayContaining(['virtualOutbound', '0.0.0.0_8080', '0.0.0.0_80']),
  );
  const routes = await names('/config_dump?resource=dynamic_route_configs');
  expect(routes).toEqual(
    expect.arrayContaining(['8080', 'cart.shop.svc.cluster.local:8080', 'allow_any']),
  );
});

test('a sidecar that only observes keeps the whole mesh', async () => {
  const stats = await mesh.sidecar('full').proxy.envoy().admin('/stats?filter=active_clusters');
  // 40 services with two ports each, and the fixed clusters.
  expect(Number(stats.split(':').at(-1))).toBeGreaterThan(80);
});

test.each([
  ['gateway', 'http://reviews:9080/'],
  ['direct', 'http://stock:9080/'],
  ['hold', 'http://users:9080/'],
] as const)(
  '%s: a first call arrives as the caller, and the scope follows',
  async (strategy, url) => {
    const { host, hostname } = new URL(url);
    await mesh.setFirstCall('scoped', strategy);
    const first = await call(url, { method: 'POST', body: 'x'.repeat(1000) });
    expect(first.seen).toMatchObject({
      host,
      method: 'POST',
      body: 1000,
      caller: 'spiffe://cluster.local/ns/shop/sa/scoped',
      sni: `outbound_.9080_._.${hostname}.shop.svc.cluster.local`,
      leaked: [],
    });
    expect(answered.filter((each) => each.startsWith(host))).toContain(`${host} ${strategy}`);
    await expect.poll(scope).toContain(`shop/${hostname}.shop.svc.cluster.local`);
    const asked = answered.length;
    const second = await call(url);
    expect([second.status, answered.length]).toEqual([200, asked]);
  },
);

test('a first call through the gateway shows in its counters, a direct one does not', async () => {
  const carried = await mesh.gateway.envoy().admin('/stats?filter=downstream_cx_total$&usedonly');
  expect(carried).toContain('outbound_.9080_._.reviews.shop');
  expect(carried).not.toContain('outbound_.9080_._.stock.shop');
});

test('an app may call any destination through its HTTP proxy', async () => {
  const { appPort } = mesh.sidecar('scoped');
  const status = await new Promise((resolve, reject) => {
    const path = 'http://shipping.shop:8080/x?y=1';
    request({ host: '127.0.0.1', port: appPort, path }, (answer) => resolve(answer.statusCode))
      .on('error', reject)
      .end();
  });
  expect(status).toBe(200);
});

test('a name that the mesh does not have is passed through and reaches nobody', async () => {
  const reply = await call('http://10.96.255.1:8080/').catch((error: Error) => error.message);
  expect(reply).toMatch('no such service');
});

test('an unused destination leaves the scope, and a used one stays', async () => {
  await expect
    .poll(
      async () => {
        await call(steady);
        return scope().includes('shop/catalogue.shop.svc.cluster.local');
      },
      { timeout: 60_000, interval: 200 },
    )
    .toBe(false);
  expect(scope()).toContain('shop/cart.shop.svc.cluster.local');
  await expect
    .poll(() => names('/config_dump?resource=dynamic_active_clusters'))
    .not.toContain('outbound|8080||catalogue.shop.svc.cluster.local');
});

test('a restarted Envoy has its scope at once', async () => {
  const asked = answered.length;
  const before = await names('/config_dump?resource=dynamic_active_clusters');
  await mesh.restart('scoped');
  const { status, seen } = await call(steady);
  expect([status, seen?.host, answered.length]).toEqual([200, 'cart:8080', asked]);
  const after = await names('/config_dump?resource=dynamic_active_clusters');
  expect(after.sort()).toEqual(before.sort());
});

test('the error names a process of the mesh that ended, with its last lines', async () => {
  const { pid } = mesh.sidecar('full').proxy.envoy();
  process.kill(pid, 'SIGKILL');
  await expect(mesh.broken).rejects.toThrow(
    /^Envoy full: ended by SIGKILL\. Its last lines:\n {2}\S/,
  );
});
