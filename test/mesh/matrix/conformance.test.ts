import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { deleteNamespaces, importedHosts, untilNarrowed } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { enableNamespace } from '../../../box/product.ts';
import type { Json } from '../../../companion/core/oracle/config-dump.ts';
import { isOwn } from '../../../companion/core/oracle/own-parts.ts';
import { host, namespace, objects, token } from './conformance-objects.ts';
import { type Kept, keepFull, lossesOf, type ProxyRef, proxyLabel } from './proxies.ts';

const mesh = openMesh();
let client: PodRef;

/** For each rule, the call that shows whether the proxy applies the rule. */
const calls: Record<string, string[]> = {
  'header rules': ['/plain', '--header', 'x-removed: yes'],
  'a subset by header': ['/plain', '--header', 'x-version: v2'],
  'a timeout': ['/delay/3s'],
  retries: ['/retry'],
  'fault injection': ['/fault'],
  mirroring: ['/mirror'],
  'a JWT that is none': ['/plain', '--header', 'Authorization: Bearer a.b.c'],
  'an AuthorizationPolicy': ['/needs-token'],
  'a JWT that is good': ['/needs-token', '--header', `Authorization: Bearer ${token}`],
};

/** The results of these calls while the rules are in force. */
const inForce: Record<string, { status: number; name?: string; headers?: object }> = {
  'header rules': {
    status: 200,
    name: 'server-v1',
    headers: { 'X-Set': ['by-rule'], 'X-Own-Filter': expect.anything() },
  },
  'a subset by header': { status: 200, name: 'server-v2' },
  'a timeout': { status: 504 },
  retries: { status: 503 },
  'fault injection': { status: 418 },
  mirroring: { status: 200, name: 'server-v1' },
  'a JWT that is none': { status: 401 },
  'an AuthorizationPolicy': { status: 403 },
  'a JWT that is good': { status: 200, name: 'server-v1' },
};

const proxies: ProxyRef[] = [
  { namespace, name: 'client' },
  ...['v1', 'v2'].map((version) => ({
    ...{ namespace, name: `server-${version}` },
    labels: `app=server,version=${version}`,
  })),
];
let kept: Kept;

const patience = { timeout: 300_000, interval: 500 };

async function outcome([path = '', ...flags]: string[]) {
  const { status, body } = await call(mesh, client, `http://server:8080${path}`, ...flags);
  const headers = body?.headers ?? {};
  const kept = Object.entries(headers).filter(([name]) =>
    /^X-(Set|Removed|Own|Envoy-At)/.test(name),
  );
  return { status, name: body?.name, path: body?.path, headers: Object.fromEntries(kept) };
}

type Dump = { configs: { cluster?: { name: string }; route_config?: RouteConfig }[] };
type RouteConfig = { virtual_hosts: { domains: string[]; routes: Json[] }[] };

/** The clusters and routes of the destination in the proxy, from Envoy's config dump. */
async function configuration() {
  const dump = async (resource: string): Promise<Dump> =>
    JSON.parse(await mesh.admin(client, `/config_dump?resource=${resource}`));
  const clusters = (await dump('dynamic_active_clusters')).configs
    .flatMap(({ cluster }) => cluster ?? [])
    .filter(({ name }) => name.endsWith(`|${host}`))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const routes = (await dump('dynamic_route_configs')).configs
    .flatMap(({ route_config: config }) => config?.virtual_hosts ?? [])
    .filter(({ domains }) => domains.includes(host))
    // Routes of Lazyscope exist with and without a scope, but not before the namespace is enabled.
    .map((each) => ({ ...each, routes: each.routes.filter((route) => !isOwn(route)) }));
  return { clusters, routes };
}

const everything = async () => ({
  ...(await configuration()),
  outcomes: Object.fromEntries(
    await Promise.all(
      Object.entries(calls).map(async ([name, flags]) => [name, await outcome(flags)] as const),
    ),
  ),
});

let before: Awaited<ReturnType<typeof everything>>;
let after: Awaited<ReturnType<typeof everything>>;

beforeAll(async () => {
  await mesh.apply(objects);
  await mesh.rollout(namespace);
  client = await mesh.pod(namespace, 'app=client');
  // The objects take effect one after the other, at the client's proxy and at the server's proxy.
  await vi.waitFor(async () => {
    for (const [name, expected] of Object.entries(inForce)) {
      // These two calls fail on purpose. Repeated, they would make Envoy eject the server.
      if (name === 'a timeout' || name === 'retries') continue;
      expect(await outcome(calls[name] ?? [])).toMatchObject(expected);
    }
  }, patience);
  before = await everything();
  kept = await keepFull(mesh, proxies);
  await enableNamespace(mesh, namespace, 'enforce');
  await untilNarrowed(mesh, namespace, ['client']);
  await outcome(['/plain']);
  await mesh.waitFor('the destination in the scope', async () =>
    (await importedHosts(mesh, namespace, 'client')).includes(`${namespace}/${host}`),
  );
  await mesh.waitFor('its clusters', async () => (await configuration()).clusters.length === 3);
  after = await everything();
});

afterAll(async () => {
  await kept?.forget();
  await deleteNamespaces(mesh, namespace);
});

test.each(proxies.map((proxy) => [proxyLabel(proxy), proxy] as const))(
  '%s has everything imported and inbound as with full configuration, and nothing dangles',
  async (_label, proxy) => expect(await lossesOf(mesh, proxy, kept)).toEqual([]),
);

test('every rule is in force with full configuration, so that this file has something to compare', () => {
  expect(before.outcomes).toMatchObject(inForce);
  expect(before.outcomes['header rules']?.headers).not.toHaveProperty('X-Removed');
});

test.each(Object.keys(calls))(
  '%s: a known destination in scope gives the result of full configuration',
  (name) => {
    expect(after.outcomes[name]).toEqual(before.outcomes[name]);
  },
);

test('locality, outlier detection, circuit breakers and EnvoyFilters: the same clusters, to the byte', () => {
  expect(before.clusters.length).toBe(3);
  expect(JSON.stringify(before.clusters)).toMatch(/"2\.345s"/);
  expect(JSON.stringify(before.clusters)).toMatch(/"max_connections":7/);
  expect(JSON.stringify(before.clusters)).toMatch(/outlier_detection/);
  expect(after.clusters).toEqual(before.clusters);
});

test('routes, retries, faults and mirrors: the same virtual host, to the byte', () => {
  expect(before.routes.length).toBeGreaterThan(0);
  expect(after.routes).toEqual(before.routes);
});

test('the proxy writes the access log that a Telemetry configures', async () => {
  const path = `/logged-${Date.now()}`;
  await outcome([path]);
  await mesh.waitFor('the line in the log', async () =>
    (await mesh.kubectl(['logs', '-n', namespace, client.name, '-c', 'istio-proxy'])).includes(
      path,
    ),
  );
});
