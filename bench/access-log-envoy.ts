import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureApp } from '../box/artifacts/binaries.ts';
import { startCompanion } from '../box/envoy/companion.ts';
import type { Envoy } from '../box/envoy/envoy.ts';
import { log, testMetrics } from '../box/played/fixtures.ts';
import { startAccessLogServer } from '../companion/node/access-log-server.ts';
import { createFrames } from '../companion/node/grpc-frames.ts';
import { oneHost, type Ports, startSidecar, type Variant, variants } from './access-log-proxies.ts';
import type { BenchOptions } from './bench.ts';
import { costOf } from './envoy-cost.ts';
import { type Row, row } from './result.ts';
import { median } from './statistics.ts';
import { startUpstream } from './upstream.ts';

/** At the busy load a difference between two proxies is less disturbed by other processes. */
const loads = {
  '1,000/s': { rps: 1000, connections: 4 },
  '5,000/s': { rps: 5000, connections: 64 },
} as const;
type Load = keyof typeof loads;

/** Microseconds of a request that the component may take more than Istio's log to a file. */
const aim = { atMost: 1.5 };

export type Receiver = { port: number; messages: Buffer[]; stop(): Promise<void> };

/** CPU time of Envoy per request: without any log, and with each way to log calls. */
export async function accessLogEnvoy({ quick, say }: BenchOptions): Promise<Row[]> {
  // Many short turns, because a single one is wrong by 20 us on a machine that does other work.
  const [rounds, seconds] = quick ? [6, 1] : [32, 1.5];
  const app = await ensureApp(say);
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-bench-'));
  const companion = await startCompanion();
  const receiver = await startReceiver(0);
  const upstream = await startUpstream(app);
  const proxies: [Variant, Envoy][] = [];
  try {
    const ports: Ports = {
      ...{ upstream: upstream.port, companion: companion.port, accessLog: receiver.port },
    };
    for (const variant of variants) {
      const file = join(folder, 'access.log');
      proxies.push([variant, await startSidecar({ variant, ports, file, hosts: oneHost })]);
    }
    const costs = new Map<string, number[]>();
    // The first round warms up: connections, V8's optimizing compiler.
    for (let round = 0; round <= rounds; round++) {
      for (const name of Object.keys(loads) as Load[]) {
        // Each proxy is the first one in turn, because load on the machine comes and goes.
        const first = round % proxies.length;
        for (const [variant, proxy] of [...proxies.slice(first), ...proxies.slice(0, first)]) {
          const load = { ...loads[name], host: Object.keys(oneHost)[0] ?? '', seconds };
          const cost = await costOf(proxy, app, load);
          const key = `${name}: ${variant}`;
          if (round > 0) costs.set(key, [...(costs.get(key) ?? []), cost]);
        }
      }
      say(`round ${round} of ${rounds}`);
    }
    return rowsOf(costs);
  } finally {
    for (const [, proxy] of proxies) await proxy.stop();
    await upstream.stop();
    await receiver.stop();
    await companion.stop();
    await rm(folder, { recursive: true });
  }
}

function rowsOf(costs: Map<string, number[]>): Row[] {
  return (Object.keys(loads) as Load[]).flatMap((load) => {
    const of = (variant: Variant) => costs.get(`${load}: ${variant}`) ?? [];
    // Compares runs of one round, so that other load on the machine cancels out.
    const more = (a: Variant, b: Variant) =>
      median(of(a).map((cost, i) => cost - (of(b)[i] ?? Number.NaN)));
    const compared = [
      ...variants.slice(1).map((each): [Variant, Variant] => [each, 'nothing']),
      ['gRPC', 'file'] as [Variant, Variant],
      ['component', 'file'] as [Variant, Variant],
      ['component', 'filter'] as [Variant, Variant],
    ];
    return [
      ...variants.map((each) => row(load, `CPU per request, ${each}`, median(of(each)), 'us')),
      ...compared.map(([a, b]) =>
        row(
          load,
          `${a} - ${b}`,
          more(a, b),
          'us',
          load === '1,000/s' && b === 'file' ? aim : undefined,
        ),
      ),
    ];
  });
}

/** Takes access logs as the companion does, and keeps the first messages, at most `keep`. */
export async function startReceiver(keep: number): Promise<Receiver> {
  const messages: Buffer[] = [];
  const { server, close } = await startAccessLogServer({
    ...{ port: 0, host: '127.0.0.1', serves: () => true, metrics: testMetrics().metrics, log },
    logs: {
      check: () => 'serving',
      forget: () => undefined,
      open() {
        const frames = createFrames({
          ...{ bytesMax: 1 << 20, reserve: () => true, release: () => undefined },
          onMessage: (message) => messages.length < keep && messages.push(Buffer.from(message)),
          onSkipped: (reason) => {
            throw new Error(`a message of an access log was skipped: ${reason}`);
          },
        });
        return { receive: frames.push, ended: frames.end };
      },
    },
  });
  return { port: (server.address() as AddressInfo).port, messages, stop: close };
}
