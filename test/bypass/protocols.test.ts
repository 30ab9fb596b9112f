import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { ensureApp } from '../../box/artifacts/binaries.ts';
import { addresses } from '../../box/bypass/pods.ts';
import { type Sidecars, services, startSidecars } from '../../box/bypass/sidecars.ts';
import type { Loader } from '../../companion/bypass/loader.ts';
import { useRig } from './rig.ts';

const rig = useRig();
let sidecars: Sidecars;
let app: string;

const { http, http2, tcp, banner } = services;
const at = (scheme: string, { port }: { port: number }, path = '') =>
  `${scheme}://${addresses[1]}:${port}${path}`;

async function run(...args: string[]) {
  const child = sidecars.start(sidecars.client, [app, ...args]);
  return JSON.parse(await text(child.stdout));
}

beforeAll(async () => {
  app = await ensureApp(() => {});
  sidecars = await startSidecars(rig.cgroup);
  const ports = ['--http', `127.0.0.1:${http.local}`, '--grpc', `127.0.0.1:${http2.local}`];
  const raw = ['--tcp-echo', `127.0.0.1:${tcp.local}`];
  const first = ['--tcp-server-first', `127.0.0.1:${banner.local}`];
  sidecars.start(sidecars.server, [app, 'serve', '--name', 'server', ...ports, ...raw, ...first]);
});
afterAll(() => sidecars.stop());
afterEach(restartEnvoys);

async function restartEnvoys(): Promise<void> {
  await Promise.all([sidecars.client, sidecars.server].map(sidecars.restartEnvoy));
}

/**
 * Starts a loader and makes listeners and containers known. The connections of the tests come after
 * that.
 */
async function accelerate(): Promise<Loader> {
  const loader = await rig.accelerate();
  for (const to of [at('http', http, '/healthz'), at('grpc', http2)])
    await run('load', '--rps', '50', '--duration', '300ms', to);
  await restartEnvoys();
  return loader;
}

async function redirected(loader: Loader): Promise<Record<string, boolean>> {
  const { hops } = await loader.stats();
  return Object.fromEntries(
    Object.entries(hops).map(([hop, { redirectedMessages }]) => [hop, redirectedMessages > 0]),
  );
}
const everyHop = { other: true, outbound: true, inbound: true };

const loads: [string, string[]][] = [
  ['HTTP/1.1 with bodies', ['--data-bytes', '100000', at('http', http, '/bytes/100000')]],
  ['HTTP/2 with many streams', ['--streams', '20', at('grpc', http2)]],
  ['gRPC streams', ['--grpc-stream', '20', at('grpc', http2)]],
  ['WebSocket', ['--websocket', '--data', 'hello', at('ws', http, '/ws')]],
  ['connections of one request', ['--new-connections-per-request', at('http', http, '/healthz')]],
  ['raw TCP', ['--send', 'hello', at('tcp', tcp)]],
  [
    'raw TCP that is half-closed and read up',
    ['--new-connections-per-request', '--send', 'hello', at('tcp', tcp)],
  ],
  ['TCP where the server speaks first', ['--banner', at('tcp', banner)]],
];

for (const [what, args] of loads)
  test(`${what}: nothing fails, on every hop between sockets`, async () => {
    const loader = await accelerate();
    const rate = ['--rps', '100', '--duration', '2s', '--connections', '4'];
    const { sent, failed, unsent, failures } = await run('load', ...rate, ...args);
    expect({ failed, unsent, failures }).toEqual({ failed: 0, unsent: 0, failures: [] });
    expect(sent).toBeGreaterThan(150);
    expect(await redirected(loader)).toEqual(everyHop);
  });
