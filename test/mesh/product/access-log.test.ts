import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { installAccessLog } from '../../../box/access-log.ts';
import { call } from '../../../box/app-call.ts';
import { outside } from '../../../box/cluster/network-plan.ts';
import { hasCluster, literally } from '../../../box/cluster-query.ts';
import {
  clusterNames,
  deleteNamespaces,
  entryOf,
  hostOf,
  importedHosts,
  learnTargets,
  scopeStatus,
  sentTo,
  serviceObject,
  strictMtls,
  target,
  untilImported,
  urlIn,
  urlOf,
} from '../../../box/fleet.ts';
import { startLoad } from '../../../box/load.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { kubeconfigPath, repoDir } from '../../../box/paths.ts';
import { enableNamespace } from '../../../box/product.ts';
import { runResult } from '../../../box/run.ts';
import { untilAddressed } from '../../../box/served.ts';
import { appPorts, namespaceObject, workload } from '../../../box/shop.ts';
import { podsOf, podVictims, untilReplaced, untilWell } from '../faults/victims.ts';
import { expectAllAnswered, startTraffic } from '../traffic.ts';

// A namespace without Wasm: Envoy itself serves calls that the scope does not know, and they are
// learned from the access log.

const mesh = openMesh();
const namespace = 'access-log';
const bare = 'access-log-bare';
const strict = 'access-log-only';
const identity = `spiffe://cluster.local/ns/${namespace}/sa/client`;
const unknown = 'lazyscope-unknown';
const targets = 120;
let client: PodRef;
let taken = 2;

/** A workload whose scope forgets after this time what is not used. */
const forgetful = 'forgetful';
const ttlSeconds = 20;
let other: PodRef;
const [used, once] = [taken++, taken++] as const;

/**
 * A Service that nobody calls before the last test. The Services without pods do not show narrowing
 * here: their endpoints are no pods of the mesh, so every scope has them.
 */
const spare = target(targets - 1);
const targetCluster = `outbound|${appPorts.http}||${hostOf(namespace, spare)}`;

/** The API server is a Service without a sidecar, too, and nobody calls it here. */
const apiServer = 'default/kubernetes.default.svc.cluster.local';
const eagerHosts = [
  ...[apiServer, `${bare}/plain.${bare}.svc.cluster.local`],
  entryOf(namespace, 'pods'),
];

beforeAll(async () => {
  await mesh.apply([
    namespaceObject(namespace),
    namespaceObject(bare, false),
    namespaceObject(strict),
    ...['server', 'client', forgetful].flatMap((name) => workload(namespace, name)),
    ...[...workload(bare, 'plain'), ...workload(strict, 'client'), ...outsideRefused(strict)],
    serviceObject(namespace, 'pods', { clusterIP: 'None' }),
    ...Array.from({ length: targets }, (_, i) => serviceObject(namespace, target(i))),
    strictMtls(namespace),
  ]);
  await Promise.all([namespace, bare, strict].map((name) => mesh.rollout(name)));
  client = await mesh.pod(namespace, 'app=client');
  other = await mesh.pod(namespace, `app=${forgetful}`);
  for (const name of [namespace, strict]) await installAccessLog(mesh, name, 'enforce');
  await mesh.waitFor('the client to be narrowed', async () => {
    if (!(await hasCluster(mesh, client, unknown))) return false;
    return !(await clusterNames(mesh, client)).includes(targetCluster);
  });
  await untilAddressed(mesh, namespace, target(targets - 1));
  forgetting = startForgetting();
  forgetting.catch(() => {});
});

afterAll(() => deleteNamespaces(mesh, namespace, bare, strict));

/** A default Sidecar with REGISTRY_ONLY. */
function outsideRefused(of: string): object[] {
  const outboundTrafficPolicy = { mode: 'REGISTRY_ONLY' };
  return [
    {
      ...{ apiVersion: 'networking.istio.io/v1', kind: 'Sidecar' },
      metadata: { name: 'default', namespace: of },
      spec: { egress: [{ hosts: ['*/*'] }], outboundTrafficPolicy },
    },
  ];
}

/** What takes time goes on beside the first tests: the ttl, and the logs that the command reads. */
async function startForgetting() {
  const logging = { accessLogging: [{ providers: [{ name: 'envoy' }] }] };
  const metadata = { name: 'own-log', namespace };
  await mesh.apply([
    { apiVersion: 'telemetry.istio.io/v1', kind: 'Telemetry', metadata, spec: logging },
  ]);
  const urls = [used, once].map((index) => urlIn(namespace, index));
  await learnTargets(mesh, other, forgetful, [used, once]);
  const ttl = JSON.stringify({ spec: { ttl: `${ttlSeconds}s` } });
  const scope = ['workloadscope', forgetful, '-n', namespace];
  await mesh.kubectl(['patch', ...scope, '--type=merge', '-p', ttl]);
  const load = await startLoad(mesh, other, urls.slice(0, 1), { rps: 2 });
  const main = join(repoDir, 'command', 'main.ts');
  const args = ['recommend', '--follow', '--for', '10s', '-n', namespace, '-o', 'json'];
  const [program = '', ...rest] = mesh.inNetwork([
    ...[process.execPath, '--import', 'tsx', main, ...args],
  ]);
  const env = { ...process.env, KUBECONFIG: kubeconfigPath };
  return { load, recommended: runResult(program, rest, { cwd: repoDir, env }) };
}
let forgetting: ReturnType<typeof startForgetting>;

test('a scope has from the beginning what mutual TLS to the address of a Service does not reach, and nothing else', async () => {
  const hosts = await importedHosts(mesh, namespace, 'client');
  expect(hosts).toEqual(expect.arrayContaining(eagerHosts));
  expect(hosts.filter((host) => host.includes('target-'))).toEqual([]);
});

const protocols = [
  ['HTTP', 'http', appPorts.http, []],
  ['gRPC', 'grpc', appPorts.grpc, []],
  ['TCP, the server first', 'tcp', appPorts.tcpServerFirst, []],
  ['TCP, the client first', 'tcp', appPorts.tcpEcho, ['--send', 'hello']],
] as const;

test.each(protocols)(
  'the first call by %s keeps the identity of the caller under STRICT, and the next call has its own route',
  async (_, scheme, port, flags) => {
    const host = target(taken++);
    const url = `${scheme}://${host}:${port}`;
    const before = await sentTo(mesh, client, unknown);
    const first = await call(mesh, client, url, ...flags);
    expect(first.error ?? '').toBe('');
    if (scheme === 'http') expect(first.body.peerIdentity).toBe(identity);
    expect((await sentTo(mesh, client, unknown)).connections).toBeGreaterThan(before.connections);

    const cluster = `outbound|${port}||${hostOf(namespace, host)}`;
    await mesh.waitFor('the real cluster', async () =>
      (await clusterNames(mesh, client)).includes(cluster),
    );
    await mesh.waitFor('a call by the real cluster', async () => {
      expect((await call(mesh, client, url, ...flags)).error ?? '').toBe('');
      return (await sentTo(mesh, client, cluster)).connections > 0;
    });
  },
);

test.each([
  ['a server without a sidecar', `http://plain.${bare}:${appPorts.http}/`, ''],
  ['a host outside of the mesh', `http://${outside.host}:8080/`, ''],
  ['a headless Service', `http://pods:${appPorts.http}/`, identity],
])('the first call to %s is answered as with full configuration', async (_, url, peer) => {
  const { status, body } = await call(mesh, client, url);
  expect([status, body.peerIdentity ?? '']).toEqual([200, peer]);
});

test('under REGISTRY_ONLY, first calls to Services keep the identity of the caller and are learned, and nothing else is reached', async () => {
  const caller = await mesh.pod(strict, 'app=client');
  await mesh.waitFor('the caller to be narrowed', async () => {
    if (!(await hasCluster(mesh, caller, unknown))) return false;
    return !(await clusterNames(mesh, caller)).includes(targetCluster);
  });
  const from = taken;
  for (const [, scheme, port, flags] of protocols) {
    const url = `${scheme}://${hostOf(namespace, target(taken++))}:${port}`;
    const { error = '', body } = await call(mesh, caller, url, ...flags);
    expect([url, error]).toEqual([url, '']);
    const seen = `spiffe://cluster.local/ns/${strict}/sa/client`;
    if (scheme === 'http') expect(body.peerIdentity).toBe(seen);
  }
  expect((await call(mesh, caller, `http://${outside.host}:8080/`)).status).toBe(502);
  expect((await call(mesh, caller, `http://${outside.host}:8081/`)).error).not.toBe('');
  const called = protocols.map((_, index) => from + index);
  await untilImported(mesh, strict, 'client', called, namespace);
  const hosts = await importedHosts(mesh, strict, 'client');
  expect(hosts.filter((host) => host.includes(outside.host))).toEqual([]);
});

test('the command recommends from the logs of running sidecars, which have their own beside ours', async () => {
  const { code, stdout, stderr } = await (await forgetting).recommended;
  expect({ code, stderr }).toMatchObject({ code: 0 });
  const { recommendations } = JSON.parse(stdout);
  const found = recommendations.find((each: { name: string }) => each.name === forgetful);
  expect(found?.yaml).toContain(hostOf(namespace, target(used)));
});

test('a destination that is no longer called leaves the scope after the ttl, and returns when it is called', async () => {
  const { load } = await forgetting;
  await mesh.waitFor(
    'what is not used to go',
    async () =>
      !(await importedHosts(mesh, namespace, forgetful)).includes(entryOf(namespace, target(once))),
    6 * ttlSeconds,
  );
  await untilImported(mesh, namespace, forgetful, [used]);
  expectAllAnswered(await load.stop(), { least: 2 * ttlSeconds });
  // While istiod removes a host, Envoy may have its route without its cluster: docs/access-log.md.
  await mesh.waitFor('the proxy to forget it', async () => {
    const routes = await mesh.admin(other, '/config_dump?resource=dynamic_route_configs');
    return !routes.includes(hostOf(namespace, target(once)));
  });
  await learnTargets(mesh, other, forgetful, [once]);
});

const companionLabel = 'app.kubernetes.io/name=lazyscope-node';

/** Ends the companion of a node as a crash does; returns when another one is ready. */
async function killCompanion(node: string): Promise<void> {
  const all = () => podsOf(mesh, 'lazyscope-system', companionLabel);
  const here = (await all()).filter(({ spec }) => spec.nodeName === node);
  const victims = podVictims(mesh, here, all);
  const count = (await victims.now()).length;
  await victims.signal('KILL');
  await untilReplaced(mesh, 'the companion', victims, count);
}

/** Drops every packet to the port of access logs, within the time that TCP tries again. */
async function cutOff(node: string): Promise<void> {
  const rule = ['PREROUTING', '-p', 'tcp', '--dport', '9475', '-j', 'DROP'];
  await mesh.onNode(node, ['iptables', '-t', 'raw', '-I', ...rule]);
  await sleep(8_000).finally(() => mesh.onNode(node, ['iptables', '-t', 'raw', '-D', ...rule]));
}

test.each([
  ['is killed', killCompanion],
  ['cannot be reached', cutOff],
] as const)(
  'while the companion %s, no known or first call fails and no scope is withdrawn; what was called is learned with the next call at the latest',
  async (_, harm) => {
    await learnTargets(mesh, client, 'client', [0, 1]);
    const { nodeName } = (await mesh.get(['pod', client.name, '-n', namespace])).spec;
    const sidecar = async () =>
      (await mesh.get(['sidecar', 'lazyscope-client', '-n', namespace])).metadata.uid;
    const [before, known] = [await sidecar(), await importedHosts(mesh, namespace, 'client')];
    const from = taken;
    const first = Array.from({ length: 25 }, (_, index) => urlOf(from + index));
    const traffic = await startTraffic(mesh, client, {
      ...{ known: [0, 1].map(urlOf), rps: 50, first, firstRps: 2 },
    });
    await harm(nodeName);
    await untilWell(mesh);
    const { known: again, first: unknownCalls, least } = await traffic.stop();
    taken += unknownCalls.sent;
    expectAllAnswered(again, { least: least.known });
    expectAllAnswered(unknownCalls, { least: least.first });
    const called = Array.from({ length: unknownCalls.sent }, (_, index) => from + index);
    // Entries are lost if the connection ends, which a slow machine decides.
    await learnTargets(mesh, client, 'client', called);
    expect(await importedHosts(mesh, namespace, 'client')).toEqual(expect.arrayContaining(known));
    expect(await sidecar()).toBe(before);
  },
);

const filterObjects = [
  'envoyfilter/lazyscope',
  ...['wasmplugin/lazyscope', 'wasmplugin/lazyscope-tcp'],
];
const accessLogObjects = ['envoyfilter/lazyscope-access-log'];
const removeObjects = (objects: string[]) => mesh.kubectl(['delete', '-n', namespace, ...objects]);

async function untilSource(source: string, has: string) {
  const label = `lazyscope.io/source=${source}`;
  await mesh.kubectl(['label', 'namespace', namespace, label, '--overwrite']);
  await mesh.waitFor(`the source ${source} to be in force`, async () => {
    const { conditions = [], proxies } = await scopeStatus(mesh, namespace, 'client');
    const is = (type: string) => conditions.find((each) => each.type === type)?.status === 'True';
    if (!is('Ready') || !is('Scoped') || proxies?.reporting !== proxies?.total) return false;
    const isEager = (await importedHosts(mesh, namespace, 'client')).includes(apiServer);
    return isEager === (source === 'access-log') && hasCluster(mesh, client, has);
  });
}

const gone = (cluster: string) =>
  mesh.waitFor(`${cluster} to be gone`, async () => !(await hasCluster(mesh, client, cluster)));

test('a namespace changes its source both ways under traffic without a failed call, and forgets nothing', async () => {
  for (const index of [0, 1]) await call(mesh, client, urlOf(index));
  await untilImported(mesh, namespace, 'client', [0, 1]);
  const first = Array.from({ length: targets - 1 - taken }, (_, i) => urlOf(taken + i));
  const traffic = await startTraffic(mesh, client, {
    ...{ known: [0, 1].map(urlOf), rps: 50 },
    ...{ first, firstRps: 1 },
  });

  await enableNamespace(mesh, namespace, 'enforce', undefined, undefined, undefined, 'direct');
  await untilSource('wasm', 'lazyscope-direct');
  await removeObjects(accessLogObjects);
  await gone(unknown);
  await installAccessLog(mesh, namespace, 'enforce', 'wasm');
  await untilSource('access-log', unknown);
  await removeObjects(filterObjects);
  await gone('lazyscope-direct');

  const { known, first: unknownCalls, least } = await traffic.stop();
  expectAllAnswered(known, { least: least.known });
  expectAllAnswered(unknownCalls, { least: least.first });
  await untilImported(mesh, namespace, 'client', [0, 1]);
});

test('a scope is withdrawn at once when the EnvoyFilter is removed', async () => {
  await removeObjects(accessLogObjects);
  await mesh.waitFor('full configuration', () =>
    hasCluster(mesh, client, literally(targetCluster)),
  );
  const { conditions = [] } = await scopeStatus(mesh, namespace, 'client');
  expect(conditions.find(({ type }) => type === 'Ready')?.reason).toBe('FilterMissing');
  expect((await call(mesh, client, urlOf(0))).status).toBe(200);
});
