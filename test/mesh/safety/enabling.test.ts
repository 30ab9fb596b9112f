import { afterAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { thisRelease } from '../../../box/artifacts/companion-image.ts';
import { deleteNamespaces, serviceObject, untilNarrowed } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { enableNamespace } from '../../../box/product.ts';
import { appPorts, namespaceObject, workload } from '../../../box/shop.ts';
import { untilReason } from './rig.ts';

const mesh = openMesh();
const [atOnce, onRestart] = ['enabling-at-once', 'enabling-restart'] as const;
const target = 'older';

/** Istio's default drainDuration, which these pods keep. */
const drainSeconds = 45;

afterAll(() => deleteNamespaces(mesh, atOnce, onRestart));

/** Creates a caller in a namespace that is not enabled yet. */
async function callerIn(namespace: string, ...more: string[]): Promise<PodRef> {
  const names = ['client', ...more];
  await mesh.apply([
    namespaceObject(namespace),
    ...names.flatMap((name) => workload(namespace, name)),
    serviceObject('servers', target),
  ]);
  await mesh.rollout(namespace);
  const caller = await mesh.pod(namespace, 'app=client');
  const { status } = await call(mesh, caller, `http://${target}.servers:${appPorts.http}/`);
  expect(status).toBe(200);
  return caller;
}

const host = `${target}.servers`;

/**
 * Sends a line, waits, and sends another line. Resolves to the error, or to '' if there was none.
 */
async function speakAgain(caller: PodRef, seconds: number, url: string, ...flags: string[]) {
  const wait = ['--idle', `${seconds}s`, '--timeout', `${seconds + 15}s`];
  return (await call(mesh, caller, url, ...flags, ...wait)).error ?? '';
}

const overTcp = (caller: PodRef, seconds: number) =>
  speakAgain(caller, seconds, `tcp://${host}:${appPorts.tcpEcho}`, '--send', 'line');
const overWebSocket = (caller: PodRef, seconds: number) =>
  speakAgain(caller, seconds, `ws://${host}:${appPorts.http}/ws`, '--websocket');

test('narrowing at once closes no TCP connection that is older than the filter', async () => {
  const caller = await callerIn(atOnce);
  // HTTP connections may end at any time while Envoy drains the listeners that it replaces.
  const tcp = overTcp(caller, drainSeconds - 10);
  await enableNamespace(mesh, atOnce, 'enforce');
  await untilNarrowed(mesh, atOnce, ['client']);
  expect(await tcp).toBe('');
});

test('with the component on-restart no connection older than the filter is closed, and rollouts bring the filter', async () => {
  const caller = await callerIn(onRestart, 'other');
  const seconds = drainSeconds + 30;
  const streams = Promise.all([overTcp(caller, seconds), overWebSocket(caller, seconds)]);
  await enableNamespace(mesh, onRestart, 'enforce', undefined, thisRelease, ['on-restart']);
  const labels = { 'lazyscope.io/filter': 'enabled' };
  const patch = JSON.stringify({ spec: { template: { metadata: { labels } } } });
  await mesh.kubectl(['patch', 'deployment', 'other', '-n', onRestart, '-p', patch]);
  await mesh.rollout(onRestart);
  await untilNarrowed(mesh, onRestart, ['other']);
  await untilReason(mesh, onRestart, 'FilterMissing');
  expect(await streams).toEqual(['', '']);
  await mesh.kubectl(['patch', 'deployment', 'client', '-n', onRestart, '-p', patch]);
  await mesh.rollout(onRestart);
  await untilNarrowed(mesh, onRestart, ['client']);
});
