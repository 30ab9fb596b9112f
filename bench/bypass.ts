import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { ensureApp } from '../box/artifacts/binaries.ts';
import { type Cgroup, createCgroup } from '../box/bypass/cgroup.ts';
import { addresses } from '../box/bypass/pods.ts';
import { type Sidecars, services, startSidecars } from '../box/bypass/sidecars.ts';
import { loaderPath, repoDir } from '../box/paths.ts';
import { run } from '../box/run.ts';
import { type Loader, startLoader } from '../companion/bypass/loader.ts';
import type { BenchOptions } from './bench.ts';
import { bypassMemory } from './bypass-memory.ts';
import { bypassRows, type Measured, type Sample } from './bypass-rows.ts';
import type { Row } from './result.ts';

/**
 * Each part runs twice, in two cgroups, one accelerated and one not; they are measured in turn.
 */
type Side = { cgroup: Cgroup; sidecars: Sidecars };
type Sides = { off: Side; on: Side };
type Case = { name: string; run(side: Side): Promise<Sample> };

/**
 * The gain or loss of applications by the bypass: on bare sockets, and through two sidecars with
 * mTLS.
 */
export async function bypass({ quick, say }: BenchOptions): Promise<Row[]> {
  const pairs = quick ? 1 : 5;
  const app = await ensureApp(say);
  await run('make', ['-C', join(repoDir, 'bpf')]);
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-bench-'));
  const sockets = join(folder, 'sockets');
  await run('cc', ['-O2', '-o', sockets, join(import.meta.dirname, 'sockets.c')]);
  const sides = { off: await startSide(app), on: await startSide(app) };
  const loader = await startLoader(loaderPath);
  try {
    await accelerate(loader, sides.on, app);
    const measured: Measured[] = [];
    for (const each of [...socketCases(sockets), ...sidecarCases(app)]) {
      const before = await refused(loader);
      const samples = await measure(each, sides, pairs);
      const leftAlone = ((await refused(loader)) - before) / pairs;
      measured.push({ name: each.name, pairs: samples, leftAlone });
      say(each.name);
    }
    const cgroups = { off: sides.off.cgroup.path, on: sides.on.cgroup.path };
    return [...bypassRows(measured), ...(await bypassMemory(loader, cgroups, pairs))];
  } finally {
    await loader.close();
    for (const { sidecars, cgroup } of Object.values(sides)) {
      await sidecars.stop();
      await cgroup.remove();
    }
    await rm(folder, { recursive: true });
  }
}

/**
 * Clients that the policy left on the stack, because their listener gets streams of small writes.
 */
async function refused(loader: Loader): Promise<number> {
  return (await loader.stats()).counters.refused_stream ?? 0;
}

/** Compares runs that are adjacent in time; the order alternates from pair to pair. */
async function measure({ run: runCase }: Case, sides: Sides, pairs: number) {
  const result: { off: Sample; on: Sample }[] = [];
  for (let i = 0; i < pairs; i++) {
    const first = i % 2 === 0 ? await runCase(sides.off) : undefined;
    const on = await runCase(sides.on);
    result.push({ off: first ?? (await runCase(sides.off)), on });
  }
  return result;
}

async function startSide(app: string): Promise<Side> {
  const cgroup = await createCgroup();
  const sidecars = await startSidecars(cgroup.path);
  await forceCubic(sidecars);
  const { http, http2 } = services;
  const ports = ['--http', `127.0.0.1:${http.local}`, '--grpc', `127.0.0.1:${http2.local}`];
  sidecars.start(sidecars.server, [app, 'serve', '--name', 'server', ...ports]);
  return { cgroup, sidecars };
}

/** Set by route, because a namespace may use only algorithms that the machine allows to all. */
async function forceCubic({ client, server }: Sidecars): Promise<void> {
  for (const { pid, address } of [client, server]) {
    const ip = (...args: string[]) => run('nsenter', [`--net=/proc/${pid}/ns/net`, 'ip', ...args]);
    const local = ['route', 'replace', 'table', 'local', 'local'];
    for (const to of ['127.0.0.0/8', '127.0.0.1', `${address}`])
      await ip(...local, to, 'dev', to === address ? 'eth0' : 'lo', 'congctl', 'cubic');
    await ip('route', 'replace', '10.77.0.0/24', 'dev', 'eth0', 'src', address, 'congctl', 'cubic');
  }
}

/**
 * The loader learns containers and listeners from first connections, which stay on the stack; the
 * measured connections come after them.
 */
async function accelerate(loader: Loader, { cgroup, sidecars }: Side, app: string): Promise<void> {
  const { refused } = await loader.start({ cgroups: [cgroup.path] });
  if (refused.length > 0) throw new Error(JSON.stringify(refused));
  const load = ['load', '--rps', '50', '--duration', '500ms'];
  const { http2 } = services;
  for (const url of [`http://${addresses[1]}/healthz`, `grpc://${addresses[1]}:${http2.port}`])
    await outputInClient(sidecars, [app, ...load, url]);
  for (const pod of [sidecars.client, sidecars.server]) await sidecars.restartEnvoy(pod);
}

async function outputInClient(sidecars: Sidecars, command: string[]): Promise<string> {
  return text(sidecars.start(sidecars.client, command).stdout);
}

async function cpuMicroseconds({ cgroup }: Side): Promise<number> {
  const stat = await readFile(join(cgroup.path, 'cpu.stat'), 'utf8');
  return Number(/^usage_usec (\d+)$/m.exec(stat)?.[1]);
}

function socketCases(sockets: string): Case[] {
  const one = (name: string, what: string, size: number, cpus: [number, number]): Case => ({
    name,
    run: async ({ sidecars }) =>
      lastOf(await outputInClient(sidecars, [sockets, what, `${size}`, '1', ...cpus.map(String)])),
  });
  return [
    one('round trip of 1 B, one CPU', 'rtt', 1, [0, 0]),
    one('round trip of 16 KiB, one CPU', 'rtt', 16_384, [0, 0]),
    one('round trip of 1 B, two CPUs', 'rtt', 1, [0, 1]),
    one('round trip of 16 KiB, two CPUs', 'rtt', 16_384, [0, 1]),
    one('stream of 128 KiB writes', 'stream', 131_072, [0, 1]),
    one('stream of 16 KiB writes', 'stream', 16_384, [0, 1]),
    one('stream of 1 KiB writes', 'stream', 1_024, [0, 1]),
    one('first stream of 16 KiB writes', 'first', 16_384, [0, 1]),
    one('first stream of 1 KiB writes', 'first', 1_024, [0, 1]),
  ];
}

/** The measured connection; the previous connection has shown the traffic of its listener. */
const lastOf = (lines: string) => JSON.parse(lines.trim().split('\n').at(-1) ?? '') as Sample;

function sidecarCases(app: string): Case[] {
  const url = `http://${addresses[1]}/bytes/16384`;
  const counted = async (side: Side, command: string[], read: (out: string) => Sample & Count) => {
    const before = await cpuMicroseconds(side);
    const { requests, ...sample } = read(await outputInClient(side.sidecars, command));
    return { ...sample, cpu: ((await cpuMicroseconds(side)) - before) / requests };
  };
  const closed = (connections: number): Case => ({
    name: `sidecars, ${connections} connections, GET 16 KiB`,
    run: (side) =>
      counted(side, ['wrk', '-t1', `-c${connections}`, '-d2s', '--latency', url], readWrk),
  });
  const open = (name: string, rps: number, ...args: string[]): Case => ({
    name: `sidecars, ${rps}/s, ${name}`,
    run: (side) => {
      const load = ['load', '--rps', `${rps}`, '--duration', '2s', '--connections', '8'];
      return counted(side, [app, ...load, ...args], readLoad);
    },
  });
  return [
    ...[1, 8, 32].map(closed),
    open('POST 16 KiB for 16 KiB', 2000, '--data-bytes', '16384', url),
    open('gRPC', 1000, `grpc://${addresses[1]}:${services.http2.port}`),
    open('HTTP/2 GET 16 KiB', 1000, '--http2', url),
  ];
}

type Count = { requests: number };

function readWrk(out: string): Sample & Count {
  const micro = (share: string) => {
    const [, value, unit] = new RegExp(`^ +${share}% +([\\d.]+)(us|ms|s)$`, 'm').exec(out) ?? [];
    return Number(value) * { us: 1, ms: 1e3, s: 1e6 }[unit as 'us' | 'ms' | 's'];
  };
  if (/Non-2xx|Socket errors/.test(out)) throw new Error(out);
  const requests = Number(/(\d+) requests in/.exec(out)?.[1]);
  const rate = Number(/Requests\/sec: +([\d.]+)/.exec(out)?.[1]);
  return { p50: micro('50'), p99: micro('99'), rate, requests };
}

function readLoad(out: string): Sample & Count {
  const { sent, failed, latency } = JSON.parse(out);
  if (failed > 0) throw new Error(out.slice(0, 500));
  return { p50: latency.p50 * 1e3, p99: latency.p99 * 1e3, requests: sent };
}
