import { afterAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import {
  deleteNamespaces,
  importedHosts,
  scopeStatus,
  serviceObject,
  untilNarrowed,
} from '../../../box/fleet.ts';
import { load } from '../../../box/load.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { setMode } from '../../../box/product.ts';
import { appPorts } from '../../../box/shop.ts';
import { drainSeconds, enableClient } from './clients.ts';
import { conditionOf, noCallFails, rateOf, targetEntry, targetUrl, untilReason } from './rig.ts';

const mesh = openMesh();
const [namespace, other] = ['life', 'life-open'] as const;
let client: PodRef;

afterAll(() => deleteNamespaces(mesh, namespace, other));

/** The TTL of the scope: the time for which an unused host stays in scope. */
const ttlSeconds = 20;
/** The controller evaluates every workload each ten seconds, and removes hosts in batches. */
const idleSeconds = 2 * ttlSeconds + drainSeconds + 30;
/** One destination is called all the time, one is called once, and one is pinned. */
const [used, once, pinned] = [0, 2, 3] as const;

/** One connection to each of these hosts is idle until the host has left the scope. */
const idle = {
  'idle-http1': '',
  'idle-http2': '--http2',
  'idle-websocket': '--websocket',
  'idle-grpc': '--grpc-stream 2',
};
type Idle = keyof typeof idle;
const idleEntry = (name: string) => `servers/${name}.servers.svc.cluster.local`;
const names = Object.keys(idle) as Idle[];

const http = (name: Idle) => `http://${name}.servers:${appPorts.http}/`;
const idleUrls: Record<Idle, string> = {
  'idle-http1': http('idle-http1'),
  'idle-http2': http('idle-http2'),
  'idle-websocket': `${http('idle-websocket').replace('http', 'ws')}ws`,
  'idle-grpc': `grpc://idle-grpc.servers:${appPorts.grpc}`,
};

/**
 * Makes two exchanges on one connection, with the idle time between them. Resolves to the result,
 * which `usedAgain` lists for the case without an error.
 */
async function useAgain(name: Idle): Promise<[Idle, unknown]> {
  const flags = idle[name].split(' ').filter(Boolean);
  if (name === 'idle-http1' || name === 'idle-http2') {
    const more = [...flags, '--connections', '1'];
    const rps = 1 / idleSeconds;
    const result = await load(mesh, client, [idleUrls[name]], {
      ...{ rps, seconds: idleSeconds + 5, more },
    });
    const { sent, ok, reconnected } = result;
    return [name, { sent, ok, reconnected }];
  }
  const wait = ['--idle', `${idleSeconds}s`, '--timeout', `${idleSeconds + 15}s`];
  const { error = '' } = await call(mesh, client, idleUrls[name], ...flags, ...wait);
  return [name, error];
}

const usedAgain = {
  'idle-http1': { sent: 2, ok: 2, reconnected: 0 },
  'idle-http2': { sent: 2, ok: 2, reconnected: 0 },
  'idle-websocket': '',
  'idle-grpc': '',
};

/**
 * The filter reports an open connection each minute (wasm-filter/open.ts), which is within this
 * time.
 */
const openTtlSeconds = 75;
const openService = 'open-tcp';

/**
 * Starts a caller with one silent TCP connection and one destination that the caller called once.
 */
async function keepOpen() {
  const caller = await enableClient(mesh, other, 'enforce');
  await setTtl(other, openTtlSeconds);
  await call(mesh, caller, targetUrl(once));
  const url = `tcp://${openService}.servers:${appPorts.tcpEcho}`;
  const seconds = openTtlSeconds + 10 + drainSeconds + 5;
  const wait = ['--idle', `${seconds}s`, '--timeout', `${seconds + 15}s`];
  return { exchange: call(mesh, caller, url, '--send', 'line', ...wait) };
}
let open: ReturnType<typeof keepOpen>;

const setTtl = (of: string, seconds: number, pins: string[] = []) => {
  const patch = JSON.stringify({ spec: { ttl: `${seconds}s`, pins } });
  return mesh.kubectl(['patch', 'workloadscope', 'client', '-n', of, '--type=merge', '-p', patch]);
};

test('in observe a workload learns, and its Ready condition reports Learning and then Ready', async () => {
  await mesh.apply([...names, openService].map((name) => serviceObject('servers', name)));
  open = keepOpen();
  open.catch(() => {});
  client = await enableClient(mesh, namespace, 'observe');
  await untilReason(mesh, namespace, 'Learning', { type: 'Ready' });
  for (const index of [used, once]) {
    expect((await call(mesh, client, targetUrl(index))).status).toBe(200);
  }
  await untilReason(mesh, namespace, 'Ready', { type: 'Ready' });
  expect(await conditionOf(mesh, namespace)).toMatchObject({
    status: 'False',
    reason: 'Observing',
  });
  expect(await mesh.kubectl(['get', 'sidecars', '-n', namespace, '-o', 'name'])).toBe('');
  const { hosts } = await scopeStatus(mesh, namespace, 'client');
  const known = hosts?.map(({ host }) => host);
  expect(known).toEqual(expect.arrayContaining([used, once].map(targetEntry)));
  const told = await mesh.kubectl(['get', 'events', '-n', namespace, '-o', 'name']);
  for (const reason of ['learning', 'ready']) expect(told).toContain(`.${reason}`);
});

test('an unused host leaves the scope in time: no request fails, and no idle connection is closed', async () => {
  await setTtl(namespace, ttlSeconds, [targetEntry(pinned)]);
  // The rate is measured before the idle time begins.
  await rateOf(mesh, client);
  // These connections open while the proxy has full configuration.
  const again = Promise.all(names.map(useAgain));
  await noCallFails(mesh, client, { at: 20, most: 150 }, () => narrowAndWait(again));
});

async function narrowAndWait(again: Promise<[Idle, unknown][]>): Promise<void> {
  await setMode(mesh, namespace, 'enforce');
  await untilNarrowed(mesh, namespace, ['client']);
  const gone = [targetEntry(once), ...names.map(idleEntry)];
  await mesh.waitFor(
    'what is not used to go',
    async () => {
      const hosts = await importedHosts(mesh, namespace, 'client');
      return gone.every((entry) => !hosts.includes(entry));
    },
    3 * ttlSeconds,
  );
  const hosts = await importedHosts(mesh, namespace, 'client');
  for (const entry of [used, pinned].map(targetEntry)) expect(hosts).toContain(entry);
  expect((await call(mesh, client, targetUrl(once))).status).toBe(200);
  await untilImported(targetEntry(once));
  expect(Object.fromEntries(await again)).toEqual(usedAgain);
  await untilImported(...['idle-http1', 'idle-http2'].map(idleEntry));
}

/** Waits until the hosts that were used again are back in scope. */
async function untilImported(...entries: string[]): Promise<void> {
  await mesh.waitFor(`${entries} to be back`, async () => {
    const imported = await importedHosts(mesh, namespace, 'client');
    return entries.every((entry) => imported.includes(entry));
  });
}

test('an open TCP connection keeps its destination in scope, even if the connection is silent', async () => {
  const { exchange } = await open;
  await mesh.waitFor(
    'what is not used to go',
    async () => !(await importedHosts(mesh, other, 'client')).includes(targetEntry(once)),
    2 * openTtlSeconds,
  );
  expect(await importedHosts(mesh, other, 'client')).toContain(idleEntry(openService));
  expect((await exchange).error ?? '').toBe('');
});
