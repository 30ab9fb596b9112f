import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { type CallResult, call } from '../app-call.ts';
import { deleteNamespaces, importedHosts, load, scopeStatus, untilNarrowed } from '../fleet.ts';
import { openMesh, type PodRef } from '../mesh.ts';
import { setMode } from '../product.ts';
import {
  conditionOf,
  installClient,
  nothingFailed,
  outcomeOf,
  targetEntry,
  targetUrl,
  traffic,
  untilReason,
} from './rig.ts';

const mesh = openMesh();
const namespace = 'life';
let client: PodRef;

afterAll(() => deleteNamespaces(mesh, namespace));

/** Connections of a listener or cluster that goes are cut after 45 s (pilot-agent, --drain-time-s). */
const drainSeconds = 45;
/** How long an unused host stays here, by the word of the scope. */
const ttlSeconds = 20;
/** Called at all times; called once; pinned; a WebSocket; a stream of events over HTTP/2. */
const [used, once, pinned, socket, events] = [0, 2, 3, 4, 5] as const;

test('in observe a workload learns, says what is missing, and then that it is ready', async () => {
  client = await installClient(mesh, namespace, 'observe');
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

test('what is not used leaves the scope in time: no request fails and no stream is cut', async () => {
  const spec = { pins: [targetEntry(pinned)], ttl: `${ttlSeconds}s` };
  const patch = JSON.stringify({ spec });
  const scope = ['workloadscope', 'client', '-n', namespace];
  await mesh.kubectl(['patch', ...scope, '--type', 'merge', '-p', patch]);
  // The controller looks at everything every ten seconds.
  const seconds = ttlSeconds + 10 + drainSeconds + 10;
  const quiet = { rps: 0.1, seconds, more: ['--connections', '1', '--ok-status', '101'] };
  // Opened with full configuration, and mostly idle.
  const messages = load(mesh, client, [targetUrl(socket, '/ws').replace('http', 'ws')], quiet);
  const count = Math.floor(seconds / 15);
  const path = `/sse?events=${count}&interval=15s`;
  const flags = ['--http2', '--sse', '--timeout', `${seconds + 15}s`];
  const stream = call(mesh, client, targetUrl(events, path), ...flags);
  const running = Promise.all([traffic(mesh, client, seconds, 20), messages]);
  await sleep(1_000);
  await setMode(mesh, namespace, 'enforce');
  await untilNarrowed(mesh, namespace, ['client']);
  const gone = [once, socket, events].map(targetEntry);
  await mesh.waitFor(
    'what is not used to go',
    async () => {
      const hosts = await importedHosts(mesh, namespace, 'client');
      return gone.every((entry) => !hosts.includes(entry));
    },
    2 * ttlSeconds,
  );
  const hosts = await importedHosts(mesh, namespace, 'client');
  for (const index of [used, pinned]) expect(hosts).toContain(targetEntry(index));
  expect((await call(mesh, client, targetUrl(once))).status).toBe(200);
  await mesh.waitFor('what is used again to be back', async () =>
    (await importedHosts(mesh, namespace, 'client')).includes(targetEntry(once)),
  );
  const [loads, socketResult] = await running;
  expect(outcomeOf([...loads, socketResult])).toEqual(nothingFailed);
  expect(socketResult).toMatchObject({ reconnected: 0 });
  const {
    status,
    error = '',
    events: heard,
  } = (await stream) as CallResult & {
    events?: unknown[];
  };
  expect({ status, error, heard: heard?.length }).toEqual({ status: 200, error: '', heard: count });
});
