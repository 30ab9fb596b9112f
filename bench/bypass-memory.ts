import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startAgent } from '../box/bypass/agent.ts';
import type { Loader } from '../companion/bypass/loader.ts';
import { type Row, row } from './result.ts';
import { median } from './statistics.ts';

/**
 * Enough connections that other changes in memory are small in comparison; the usual limit of
 * descriptors is twice as high.
 */
const connections = 8_000;
/** The kernel frees sockets and counts pages a moment later. */
const settleMs = 500;

/** Memory of the loader, and of open connections with and without the bypass, in pairs. */
export async function bypassMemory(
  loader: Loader,
  cgroups: Record<'off' | 'on', string>,
  pairs: number,
): Promise<Row[]> {
  const empty = await tables(loader.pid);
  const costs = { off: [] as number[], on: [] as number[] };
  for (let i = 0; i < pairs; i++)
    for (const side of i % 2 === 0 ? (['off', 'on'] as const) : (['on', 'off'] as const)) {
      costs[side].push(await costOf(cgroups[side]));
    }
  const name = `memory, ${connections} open connections`;
  const each = costs.on.map((cost, i) => cost - (costs.off[i] ?? Number.NaN));
  return [
    row('memory, loader', 'resident', await resident(loader.pid), 'MiB'),
    row('memory, loader', 'tables when empty', empty / 2 ** 20, 'MiB'),
    row(name, 'of the kernel each, off', median(costs.off), 'B'),
    row(name, 'of the kernel each, on', median(costs.on), 'B'),
    row(name, 'of the kernel each, on - off', median(each), 'B'),
  ];
}

/** Bytes of the kernel for each connection that a process opens to itself and keeps. */
async function costOf(cgroup: string): Promise<number> {
  const agent = await startAgent(cgroup);
  try {
    const { client, server } = await agent.do('pair');
    await agent.do('send', { id: client, text: 'x' });
    await agent.do('receive', { id: server, size: 1 });
    await sleep(settleMs);
    const before = await kernelMemory();
    await agent.do('hold', { count: connections });
    await sleep(settleMs);
    return ((await kernelMemory()) - before) / connections;
  } finally {
    await agent.stop();
    await sleep(settleMs);
  }
}

/**
 * The kernel's memory for sockets and for their BPF storage, without pages of processes.
 */
async function kernelMemory(): Promise<number> {
  const info = await readFile('/proc/meminfo', 'utf8');
  const kilobytes = ['Slab', 'Percpu'].map((name) =>
    Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(info)?.[1]),
  );
  return kilobytes.reduce((sum, each) => sum + each * 1024, 0);
}

async function resident(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

/** Bytes of all maps that the loader holds, as the kernel counts them. */
async function tables(pid: number): Promise<number> {
  const folder = `/proc/${pid}/fdinfo`;
  const infos = await Promise.all(
    (await readdir(folder)).map((fd) => readFile(join(folder, fd), 'utf8')),
  );
  return infos
    .filter((info) => info.includes('map_id:'))
    .reduce((sum, info) => sum + Number(/^memlock:\s+(\d+)$/m.exec(info)?.[1] ?? 0), 0);
}
