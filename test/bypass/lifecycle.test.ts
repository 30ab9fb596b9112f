import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createCgroup } from '../../box/bypass/cgroup.ts';
import { leftovers } from '../../box/bypass/leftovers.ts';
import { loaderPath } from '../../box/paths.ts';
import { type Loader, startLoader } from '../../companion/bypass/loader.ts';
import { showReads, useRig } from './rig.ts';

const rig = useRig();

const size = 192 << 20;
const whole = { same: [true, true], counts: [size, size] };

/**
 * Exchanges random bytes in both directions. The connection is redirected when `meanwhile` begins.
 */
async function transferWhile(loader: Loader, meanwhile: () => Promise<unknown>) {
  const { client, server } = await rig.agent.do('pair');
  const transfer = rig.agent.do('exchange', { client, server, size });
  while ((await loader.stats()).hops.other.redirectedBytes < 1 << 20) await sleep(5);
  await meanwhile();
  return transfer;
}

const ends: [string, (loader: Loader) => Promise<unknown>][] = [
  ['is killed', async (loader) => process.kill(loader.pid, 'SIGKILL')],
  ['is asked to end', async (loader) => process.kill(loader.pid, 'SIGTERM')],
  ['loses its parent', (loader) => loader.close()],
  ['is switched off', (loader) => loader.off()],
  ['drains', (loader) => loader.drain(1)],
  ['lets go of the cgroup', (loader) => loader.policy({ cgroups: [] })],
];

for (const [what, end] of ends)
  test(`a transfer is whole when the loader ${what} in the middle of it`, async () => {
    const loader = await rig.accelerate();
    expect(await transferWhile(loader, () => end(loader))).toEqual(whole);
  });

test('killing and starting loaders all the time loses nothing', async () => {
  let loader = await rig.accelerate();
  const outcome = await transferWhile(loader, async () => {
    for (let round = 0; round < 10; round++) {
      process.kill(loader.pid, 'SIGKILL');
      await loader.ended;
      loader = await rig.loader();
      expect((await loader.start({ cgroups: [rig.cgroup] })).refused).toEqual([]);
    }
  });
  expect(outcome).toEqual(whole);
});

test('a drain waits for the last connection and reports how many are left', async () => {
  const loader = await rig.accelerate();
  const { client } = await rig.agent.do('pair');
  const drained = loader.drain(20);
  await sleep(200);
  await rig.agent.do('close', { id: client });
  expect(await drained).toEqual({ connections: 0 });
  expect(await loader.ended).toContain('status 0');
  const another = await rig.accelerate();
  await rig.agent.do('pair');
  expect(await another.drain(0)).toEqual({ connections: 1 });
});

test('connections of a released cgroup are swept when they have ended', async () => {
  const loader = await rig.accelerate();
  await rig.agent.do('pair');
  await loader.policy({ cgroups: [] });
  expect(await loader.stats()).toMatchObject({ connections: 1, cgroups: 0 });
  await rig.agent.do('close_all');
  expect(await loader.stats()).toMatchObject({ connections: 0, swept: 1, sockets: 0 });
});

test('after `off` the loader takes in no new connection, and after `start` it does again', async () => {
  const loader = await rig.accelerate();
  await loader.off();
  await rig.agent.do('pair');
  expect(await loader.stats()).toMatchObject({ on: false, connections: 0 });
  await loader.start({});
  await rig.agent.do('pair');
  expect(await loader.stats()).toMatchObject({ on: true, connections: 1, cgroups: 1 });
});

test('excluded ports stay on the stack, and included ports are the only redirected ones', async () => {
  const loader = await rig.accelerate();
  const { id, port } = await rig.agent.do('listen');
  const taken = async () => {
    const before = (await loader.stats()).connections;
    const { id: client } = await rig.agent.do('connect', { port });
    const server = await rig.agent.do('accept', { id });
    const { connections } = await loader.stats();
    for (const each of [client, server.id]) await rig.agent.do('close', { id: each });
    return connections - before;
  };
  expect(await taken()).toBe(1);
  await loader.policy({ ports: [port] });
  expect(await taken()).toBe(0);
  await loader.policy({ ports: [port], onlyPorts: true });
  expect(await taken()).toBe(1);
  await loader.policy({ ports: [port + 1], onlyPorts: true });
  expect(await taken()).toBe(0);
});

test('either side may send the first bytes', async () => {
  const loader = await rig.accelerate();
  for (const first of ['server', 'client'] as const) {
    const pair = await rig.agent.do('pair');
    const second = first === 'server' ? 'client' : 'server';
    await rig.agent.do('send', { id: pair[first], text: 'hello' });
    expect((await rig.agent.do('receive', { id: pair[second], size: 9 })).text).toBe('hello');
  }
  expect((await loader.stats()).hops.other).toMatchObject({ redirectedMessages: 2 });
});

test('IPv6 is redirected, and IPv4 on a socket of IPv6', async () => {
  const loader = await rig.accelerate();
  const { id, port } = await rig.agent.do('listen', { host: '::' });
  for (const host of ['::1', '127.0.0.1', '::ffff:127.0.0.1']) {
    const before = (await loader.stats()).hops.other.redirectedMessages;
    const client = await rig.agent.do('connect', { host, port });
    const server = await rig.agent.do('accept', { id });
    await rig.agent.do('send', { id: client.id, text: host });
    expect((await rig.agent.do('receive', { id: server.id, size: 30 })).text).toBe(host);
    const after = (await loader.stats()).hops.other.redirectedMessages;
    expect({ host, redirected: after - before }).toEqual({ host, redirected: 1 });
  }
});

test('no program or map is left after the exit of a loader that took in connections', async () => {
  const loader = await rig.accelerate();
  await rig.agent.do('pair');
  await loader.close();
  // The programs live as long as a socket that they serve.
  await showReads(rig.agent);
  await rig.agent.do('close_all');
  expect(await leftovers()).toEqual([]);
});

test('what a loader of another checkout holds is not taken for what ours left', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lazyscope-other-'));
  const path = join(folder, basename(loaderPath));
  copyFileSync(loaderPath, path);
  const cgroup = await createCgroup();
  const other = await startLoader(path);
  try {
    expect(await other.start({ cgroups: [cgroup.path] })).toMatchObject({ refused: [] });
    expect(await leftovers()).toEqual([]);
    await rig.accelerate();
    expect(await leftovers(1)).toContain('bypass_sockops');
  } finally {
    await other.close();
    await cgroup.remove();
    rmSync(folder, { recursive: true });
  }
});
