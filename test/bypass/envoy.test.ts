import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Sidecars, startSidecars } from '../../box/bypass/sidecars.ts';
import type { Loader } from '../../companion/bypass/loader.ts';
import { type Load, startLoad, startServer } from './exchange.ts';
import { useRig } from './rig.ts';

const rig = useRig();
let sidecars: Sidecars;
let server: ChildProcessWithoutNullStreams;

async function serve(): Promise<void> {
  server = startServer(sidecars);
  for (;;) {
    const { requests, failed } = await load({ bytesMax: 10, seconds: 0.1, connections: 1 });
    if (requests > 0 && failed === 0) return;
    await sleep(100);
  }
}

const start = (options: Load) => startLoad(sidecars, options);
const load = (options: Load) => start(options).result;
const hungIn = ({ errors }: { errors: object }) =>
  Object.keys(errors).filter((each) => each.startsWith('no byte for'));
const clean = { failed: 0, different: 0, errors: {} };

beforeAll(async () => {
  sidecars = await startSidecars(rig.cgroup);
  await serve();
});
afterAll(() => sidecars.stop());

/**
 * Long bodies are streams of records. These tests concern connections that carry such streams, so
 * no stream is left alone.
 */
const kept = { streamSeconds: 0 };

let loader: Loader;
beforeEach(async () => {
  loader = await rig.accelerate(kept);
  // Each container shows how it reads, on connections that stay on the stack. Then new connections
  // replace these.
  await load({ bytesMax: 10, seconds: 0.2, churn: true });
  await restartEnvoys();
});
// A connection lives as long as its Envoy, and a program as long as a connection.
afterEach(restartEnvoys);

async function restartEnvoys(): Promise<void> {
  await Promise.all([sidecars.client, sidecars.server].map(sidecars.restartEnvoy));
}

test('all three hops are redirected, both ways, and bodies up to 8 MiB are the same', async () => {
  for (const bytesMax of [16 << 10, 256 << 10]) {
    expect(await load({ bytesMax, seconds: 3, least: 20 })).toMatchObject(clean);
  }
  const { hops } = await loader.stats();
  for (const [hop, { redirectedBytes, stackBytes }] of Object.entries(hops)) {
    const share = redirectedBytes / (redirectedBytes + stackBytes);
    expect({ hop, most: share > 0.5 }).toEqual({ hop, most: true });
  }
  // Long bodies arrive as streams of records, which change to the stack and back.
  expect(await load({ bytesMax: 8 << 20, seconds: 3 })).toMatchObject(clean);
  expect((await loader.stats()).counters.to_stack_stream).toBeGreaterThan(0);
});

test('the bypass leaves sidecars alone after they have carried long bodies, and no request fails', async () => {
  await loader.policy({ streamSeconds: 600 });
  const bodies = { bytesMax: 8 << 20, seconds: 4, churn: true };
  for (let found = 0; found === 0; ) {
    expect(await load(bodies)).toMatchObject(clean);
    found = (await loader.stats()).counters.left_alone ?? 0;
  }
  expect((await loader.stats()).hops.inbound.redirectedBytes).toBeGreaterThan(0);
  await restartEnvoys();
  expect(await load(bodies)).toMatchObject(clean);
  expect((await loader.stats()).counters.refused_stream).toBeGreaterThan(0);
});

test('with slow readers the unread bytes stay bounded, and nothing is lost', async () => {
  const { result } = start({ bytesMax: 8 << 20, seconds: 4, slowMs: 5, connections: 4 });
  let worst = 0;
  for (let i = 0; i < 30; i++) {
    worst = Math.max(worst, (await loader.stats()).unreadMax);
    await sleep(100);
  }
  expect(await result).toMatchObject(clean);
  // The limit, plus the send and receive buffers of the stack.
  expect(worst).toBeLessThan((4 << 20) + (16 << 20));
});

test('connections that come and go leave nothing behind', async () => {
  expect(
    await load({ bytesMax: 64 << 10, seconds: 4, churn: true, connections: 16 }),
  ).toMatchObject(clean);
  await restartEnvoys();
  await expect
    .poll(() => loader.stats(), { timeout: 30_000 })
    .toMatchObject({ connections: 0, sockets: 0 });
});

test('toggling the switch under load fails no request', async () => {
  const { stop } = start({ bytesMax: 1 << 20 });
  for (let toggles = 0; toggles < 100; toggles++) {
    if (toggles % 3 === 2) await loader.off();
    else await loader.start({ ...kept, redirect: toggles % 3 === 0 });
    await sleep(30);
  }
  expect(await stop()).toMatchObject(clean);
});

test('killing loaders under load fails no request', async () => {
  for (const bytesMax of [16 << 10, 8 << 20]) {
    const { stop } = start({ bytesMax, churn: true });
    for (let i = 0; i < 3; i++) {
      await sleep(700);
      process.kill(loader.pid, 'SIGKILL');
      await loader.ended;
      loader = await rig.loader();
      await loader.start({ ...kept, cgroups: [rig.cgroup] });
    }
    expect(await stop()).toMatchObject(clean);
  }
});

test('applications and sidecars that are frozen for a while lose nothing', async () => {
  const frozen = async (pid: number) => {
    process.kill(pid, 'SIGSTOP');
    await sleep(1500);
    process.kill(pid, 'SIGCONT');
  };
  const { child, stop } = start({ bytesMax: 8 << 20, connections: 4 });
  await sleep(1000);
  for (const pid of [child.pid, server.pid, sidecars.envoyPid(sidecars.server)])
    await frozen(pid ?? 0);
  expect(await stop()).toMatchObject(clean);
});

test('after a kill of a client, a server or a sidecar under load, requests succeed again', async () => {
  const after = () => load({ bytesMax: 64 << 10, seconds: 1, least: 20 });
  const killed = start({ bytesMax: 8 << 20 });
  await sleep(700);
  killed.child.kill('SIGKILL');
  await killed.result.catch(() => undefined);
  expect(await after()).toMatchObject(clean);

  const served = start({ bytesMax: 8 << 20 });
  await sleep(700);
  server.kill('SIGKILL');
  await serve();
  // Every request ends with an answer or an error. No request hangs.
  expect(hungIn(await served.stop())).toEqual([]);
  expect(await after()).toMatchObject(clean);

  const carried = start({ bytesMax: 8 << 20 });
  await sleep(700);
  await sidecars.restartEnvoy(sidecars.server);
  expect(hungIn(await carried.stop())).toEqual([]);
  expect(await after()).toMatchObject(clean);
});
