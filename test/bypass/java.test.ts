import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Agent } from '../../box/bypass/agent.ts';
import { spawnIn } from '../../box/bypass/cgroup.ts';
import { addresses } from '../../box/bypass/pods.ts';
import { type Sidecars, services, startSidecars } from '../../box/bypass/sidecars.ts';
import { useRig } from './rig.ts';

// A Java program that calls FIONREAD, and waits forever if FIONREAD wrongly returns 0.

const rig = useRig();
const { tcp } = services;
const sizes = [1, 600, 20_000, 1, 300_000];
const total = sizes.reduce((sum, size) => sum + size, 0);
let sidecars: Sidecars;
let java: ChildProcessWithoutNullStreams;

beforeAll(async () => {
  sidecars = await startSidecars(rig.cgroup);
  const source = join(import.meta.dirname, 'Available.java');
  java = spawnIn(rig.cgroup, ['java', source, `${tcp.local}`, `${total}`], sidecars.server.pid);
  await once(java.stdout, 'data');
});
afterAll(async () => {
  java.kill('SIGKILL');
  await once(java, 'close');
  await sidecars.stop();
});

async function echoes(agent: Agent, host: string, port: number): Promise<void> {
  const { id } = await agent.do('connect', { host, port });
  for (const size of sizes) {
    await agent.do('send', { id, size, timeout: 20 });
    expect(await agent.do('expect', { id, runs: [['x', size]], timeout: 20 })).toEqual({ n: size });
  }
  await agent.do('close', { id });
}

for (const redirect of [true, false])
  test(`Java reads what is available, with and without sidecars, ${redirect ? 'redirected' : 'on the stack, in the map'}`, async () => {
    const loader = await rig.accelerate({ streamSeconds: 0 });
    const beside = await rig.startAgent(sidecars.server.pid);
    const behind = await rig.startAgent(sidecars.client.pid);
    // These exchanges make the listeners and Java's way of reading known. Then the sidecars make
    // new connections.
    for (let i = 0; i < 2; i++) await echoes(beside, '127.0.0.1', tcp.local);
    await echoes(behind, addresses[1], tcp.port);
    await loader.policy({ streamSeconds: 0, redirect });
    const before = (await loader.stats()).counters;
    for (let i = 0; i < 3; i++) {
      await echoes(beside, '127.0.0.1', tcp.local);
      await echoes(behind, addresses[1], tcp.port);
    }
    const { counters, hops } = await loader.stats();
    // One direct connection and three by way of the sidecars, three times.
    expect((counters.server_in ?? 0) - (before.server_in ?? 0)).toBe(12);
    expect(counters.woken).toBe(0);
    const bytes = redirect ? hops.inbound.redirectedBytes : hops.inbound.stackBytes;
    expect(bytes).toBeGreaterThan(3 * 2 * total);
  });
