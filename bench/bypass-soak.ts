import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Agent, startAgent } from '../box/bypass/agent.ts';
import { type Cgroup, createCgroup } from '../box/bypass/cgroup.ts';
import { kernelBugLines, leftovers } from '../box/bypass/leftovers.ts';
import { createLossy } from '../box/bypass/pods.ts';
import { loaderPath, repoDir } from '../box/paths.ts';
import { run } from '../box/run.ts';
import { type Loader, type Stats, startLoader } from '../companion/bypass/loader.ts';
import type { BenchOptions } from './bench.ts';
import { type Row, row } from './result.ts';
import { median } from './statistics.ts';

/**
 * Mixed load over the bypass while it is switched, its limits change, and its loader and
 * applications are killed: no byte may be lost or wrong, and nothing may be left in the kernel.
 */
type Soak = {
  cgroup: Cgroup;
  until: number;
  loader: Loader;
  starts: number;
  counts: {
    exchanges: number;
    bytes: number;
    /** By the figures of each loader before its end. */
    redirected: number;
    /** Segments that repeated data, by the same figures. */
    repeated: number;
    churned: number;
    toggles: number;
    kills: number;
  };
  /** What went wrong; each is one too many. */
  faults: string[];
  /** Notes and prints it. */
  fault(text: string): void;
  /** Resident memory of each loader in KiB, some seconds after its start, in order. */
  resident: number[];
};

const minutesUsual = 60;
/** Largest transfer in each direction: above the limit of unread bytes, so that flows switch. */
const bytesMax = 24 << 20;
/** The share of segments lost in one of the lanes of transfers, so that senders repeat data. */
const lossyShare = 0.03;
/** An event every so often: connections that were open before and after it are both frequent. */
const eventMs = { from: 200, to: 3_000 };

export async function bypassSoak({ quick, minutes, say }: BenchOptions): Promise<Row[]> {
  await run('make', ['-C', join(repoDir, 'bpf')]);
  const complaints = await kernelBugLines();
  const cgroup = await createCgroup();
  const lossy = await createLossy(lossyShare);
  const soak: Soak = {
    cgroup,
    until: Date.now() + (quick ? 1 : (minutes ?? minutesUsual)) * 60_000,
    loader: await begin(cgroup),
    starts: 1,
    counts: {
      exchanges: 0,
      bytes: 0,
      redirected: 0,
      repeated: 0,
      churned: 0,
      toggles: 0,
      kills: 0,
    },
    ...{ faults: [], resident: [] },
    fault(text) {
      this.faults.push(text);
      say(text);
    },
  };
  const reporting = setInterval(() => say(JSON.stringify(soak.counts)), 60_000);
  await Promise.all([
    ...[undefined, undefined, lossy.pid].map((netns) => lane(soak, exchange, netns)),
    ...[0, 1].map(() => lane(soak, churn)),
    lane(soak, killed),
    disturb(soak),
  ]);
  clearInterval(reporting);
  await lossy.remove();
  await addFigures(soak);
  const { connections, sockets, arrived } = await emptied(soak.loader);
  await soak.loader.close();
  const left = await leftovers();
  await cgroup.remove();
  const news = (await kernelBugLines()).length - complaints.length;
  return rowsOf(soak, { connections, sockets, arrived, left: left.length, news });
}

async function begin(cgroup: Cgroup): Promise<Loader> {
  const loader = await startLoader(loaderPath);
  try {
    const { refused } = await loader.start({ cgroups: [cgroup.path] });
    if (refused.length > 0) throw new Error(`the loader was refused: ${JSON.stringify(refused)}`);
    return loader;
  } catch (error) {
    // A loader that answers too late would hold the cgroup.
    await loader.close();
    throw error;
  }
}

/** One application after another, each with some pieces of work, until the time is over. */
async function lane(
  soak: Soak,
  work: (agent: Agent, soak: Soak) => Promise<void>,
  netns?: number,
): Promise<void> {
  while (Date.now() < soak.until) {
    const agent = await startAgent(soak.cgroup.path, netns);
    try {
      for (let i = 0; i < 20 && Date.now() < soak.until; i++) await work(agent, soak);
    } catch (error) {
      soak.fault(String(error));
    } finally {
      await agent.stop();
    }
  }
}

async function exchange(agent: Agent, soak: Soak): Promise<void> {
  const { client, server } = await agent.do('pair', { answered: true });
  const size = 1 + Math.floor(Math.random() ** 3 * bytesMax);
  const seed = Math.floor(Math.random() * 1e9);
  const slow = Math.random() < 0.1 ? 0.001 : 0;
  const asked = { client, server, size, seed, slow, keep: true };
  const { same, differences, error } = await agent.do('exchange', asked);
  if (error !== undefined || !same.every(Boolean)) {
    const when = new Date().toISOString();
    const how = error ?? `other bytes arrived: ${JSON.stringify(differences)}`;
    soak.fault(`${when}: exchange of ${size} bytes, seed ${seed}, slow ${slow}: ${how}`);
  }
  for (const id of [client, server]) await agent.do('close', { id });
  soak.counts.exchanges += 1;
  soak.counts.bytes += 2 * size;
}

async function churn(agent: Agent, soak: Soak): Promise<void> {
  const { wrong, error } = await agent.do('churn', { count: 200 });
  if (error !== undefined || wrong > 0) soak.fault(`churn: ${error ?? `${wrong} wrong answers`}`);
  soak.counts.churned += 200;
}

/** An application that is killed with open connections and data on the way. */
async function killed(_: Agent, { cgroup, counts }: Soak): Promise<void> {
  const victim = await startAgent(cgroup.path);
  await victim.do('hold', { count: 50 });
  const { client, server } = await victim.do('pair', { answered: true });
  const lost = victim.do('exchange', { client, server, size: bytesMax }).catch(() => undefined);
  await sleep(Math.random() * 500);
  await victim.stop();
  await lost;
  counts.kills += 1;
}

/** What operators and accidents do to the bypass, at random, until the time is over. */
async function disturb(soak: Soak): Promise<void> {
  const { cgroup, counts } = soak;
  const cgroups = [cgroup.path];
  const replace = async (end: (loader: Loader) => unknown) => {
    soak.resident.push(await residentOf(soak.loader.pid));
    await addFigures(soak);
    await end(soak.loader);
    await soak.loader.ended;
    soak.loader = await begin(cgroup);
    soak.starts += 1;
  };
  const events: (() => Promise<unknown>)[] = [
    () => soak.loader.off().then(() => soak.loader.start({ cgroups })),
    () => soak.loader.policy({ cgroups: [] }).then(() => soak.loader.policy({ cgroups })),
    () =>
      soak.loader.policy({ redirect: false }).then(() => soak.loader.policy({ redirect: true })),
    () => soak.loader.policy({ byteLimit: 1 << (16 + Math.floor(Math.random() * 7)) }),
    () => soak.loader.stats(),
    async () => {
      await replace(({ pid }) => process.kill(pid, 'SIGKILL'));
      counts.kills += 1;
    },
    () => replace((loader) => loader.drain(1)),
  ];
  while (Date.now() < soak.until) {
    await sleep(eventMs.from + Math.random() * (eventMs.to - eventMs.from));
    try {
      await events[Math.floor(Math.random() * events.length)]?.();
    } catch (error) {
      // A loader that does not answer has been killed.
      soak.fault(`loader: ${String(error)}`);
      await soak.loader.ended;
      soak.loader = await begin(cgroup);
    }
    counts.toggles += 1;
  }
}

async function residentOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
}

async function addFigures({ counts, loader }: Soak): Promise<void> {
  const { counters, hops } = await loader.stats();
  for (const hop of Object.values(hops)) counts.redirected += hop.redirectedBytes;
  counts.repeated += counters.repeated ?? 0;
}

/** The tables once all applications have ended; the loader sweeps what is left of killed ones. */
async function emptied(loader: Loader): Promise<Stats> {
  let stats = await loader.stats();
  for (let i = 0; i < 100 && stats.connections + stats.sockets + stats.arrived > 0; i++) {
    await sleep(100);
    stats = await loader.stats();
  }
  return stats;
}

type Ends = { connections: number; sockets: number; arrived: number; left: number; news: number };

function rowsOf({ counts, faults, resident, starts }: Soak, ends: Ends): Row[] {
  const third = Math.max(1, Math.floor(resident.length / 3));
  const growth = median(resident.slice(-third)) - median(resident.slice(0, third));
  const [none, name] = [{ atMost: 0 }, 'soak'];
  return [
    row(name, 'lost or wrong', faults.length, 'faults', none),
    row(name, 'exchanged', counts.bytes / 1e9, 'GB', { atLeast: 0.001 }),
    row(name, 'redirected', counts.redirected / 1e9, 'GB', { atLeast: 0.001 }),
    row(name, 'transfers', counts.exchanges, 'transfers'),
    row(name, 'segments that repeated data', counts.repeated, 'segments'),
    row(name, 'short connections', counts.churned, 'connections'),
    row(name, 'switches, limits, restarts', counts.toggles, 'events'),
    row(name, 'kills of loaders and applications', counts.kills, 'kills'),
    row(name, 'loaders', starts, 'loaders'),
    row(name, 'connections in the table at the end', ends.connections, 'connections', none),
    row(name, 'sockets in the map at the end', ends.sockets, 'sockets', none),
    row(name, 'entries of arrived data at the end', ends.arrived, 'entries', none),
    row(name, 'programs and maps left in the kernel', ends.left, 'objects', none),
    row(name, 'new complaints of the kernel', ends.news, 'lines', none),
    row(name, 'memory of the loader, last third - first third', growth / 1024, 'MiB', {
      atMost: 1,
    }),
  ];
}
