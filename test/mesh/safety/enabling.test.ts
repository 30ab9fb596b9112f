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

/**
 * How to exchange something twice on one connection, and the figure of a cluster that shows that
 * the connection is open.
 */
const kinds = {
  tcp: { scheme: 'tcp', port: appPorts.tcpEcho, flags: ['--send', 'line'], active: 'cx' },
  grpc: { scheme: 'grpc', port: appPorts.grpc, flags: ['--grpc-stream', '2'], active: 'rq' },
  websocket: { scheme: 'ws', port: appPorts.http, flags: ['--websocket'], active: 'rq' },
};
type Kind = keyof typeof kinds;
const all = Object.entries(kinds) as [Kind, (typeof kinds)[Kind]][];

/**
 * Makes one exchange on each kind of connection, waits, and makes another. Resolves, when all are
 * open, to the errors that are still to come, '' for none.
 */
async function open(caller: PodRef, seconds: Record<Kind, number>) {
  const errors = all.map(async ([kind, { scheme, port, flags }]) => {
    const wait = ['--idle', `${seconds[kind]}s`, '--timeout', `${seconds[kind] + 15}s`];
    const url = `${scheme}://${target}.servers:${port}${kind === 'websocket' ? '/ws' : ''}`;
    return [kind, (await call(mesh, caller, url, ...flags, ...wait)).error ?? ''];
  });
  await mesh.waitFor('open connections of each kind', async () => {
    const clusters = await mesh.admin(caller, '/clusters');
    return all.every(([, { port, active }]) =>
      new RegExp(`^outbound\\|${port}\\|\\|${target}\\..*::${active}_active::1$`, 'm').test(
        clusters,
      ),
    );
  });
  return { errors: Promise.all(errors).then((each) => Object.fromEntries(each)) };
}

const noErrors = { tcp: '', grpc: '', websocket: '' };

/**
 * What a change of a listener leaves open, with Envoy 1.40: TCP connections and gRPC streams until
 * the end of the drain, WebSockets for two thirds of it (Envoy ends each at a random time in the
 * rest). Five seconds less, because the streams were open before the change.
 */
const promised = {
  tcp: drainSeconds - 5,
  grpc: drainSeconds - 5,
  websocket: (drainSeconds * 2) / 3 - 5,
};

// Both tests mostly wait, in a namespace of their own each, so they run at the same time.

test.concurrent('enabling and narrowing at once leave connections that are older than the filter open for as long as the drain promises', async () => {
  const caller = await callerIn(atOnce);
  const { errors } = await open(caller, promised);
  await enableNamespace(mesh, atOnce, 'enforce');
  await untilNarrowed(mesh, atOnce, ['client']);
  expect(await errors).toEqual(noErrors);
});

test.concurrent('with the component on-restart no connection older than the filter is closed, and rollouts bring the filter', async () => {
  const caller = await callerIn(onRestart, 'other');
  const seconds = drainSeconds + 30;
  const { errors } = await open(caller, { tcp: seconds, grpc: seconds, websocket: seconds });
  await enableNamespace(mesh, onRestart, 'enforce', undefined, thisRelease, ['on-restart']);
  const labels = { 'lazyscope.io/filter': 'enabled' };
  const patch = JSON.stringify({ spec: { template: { metadata: { labels } } } });
  await mesh.kubectl(['patch', 'deployment', 'other', '-n', onRestart, '-p', patch]);
  await mesh.rollout(onRestart);
  await untilNarrowed(mesh, onRestart, ['other']);
  await untilReason(mesh, onRestart, 'FilterMissing');
  expect(await errors).toEqual(noErrors);
  await mesh.kubectl(['patch', 'deployment', 'client', '-n', onRestart, '-p', patch]);
  await mesh.rollout(onRestart);
  await untilNarrowed(mesh, onRestart, ['client']);
});
