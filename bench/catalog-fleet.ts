import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiServer, startApiServer } from '../box/api/api-server.ts';
import { nodeToken } from '../box/api/played-nodes.ts';
import { populate } from '../box/api/population.ts';
import type { BenchOptions } from './bench.ts';
import { type Controller, startController } from './controller-process.ts';
import { type GoClients, startGoClients } from './go-clients.ts';
import { cpuSeconds, resetPeak, residentBytes } from './process.ts';
import { type Row, row } from './result.ts';
import { percentile } from './statistics.ts';

const aims = { seconds: 10, megabytes: 400, wireBytes: 2e6 };
const untilMs = 180_000;
/** The records that this release reads (companion/node/compact-replica.ts). */
const layout = 1;

/** What bench/node-clients counts. */
type Reading = {
  /** Milliseconds until each node had its catalog. */
  ready: number[];
  /** Bytes that each of them was sent for it. */
  bytes: number[];
  /** Streams that are open. */
  streams: number;
  /** Attempts to connect that failed, and streams that ended, by their reason. */
  ended: { [reason: string]: number } | null;
};

/** All nodes of a mesh connect at once to two controllers, as after a failure of both. */
export async function catalogFleet({ quick, say }: BenchOptions): Promise<Row[]> {
  const nodes = quick ? 100 : 1000;
  const api = await startApiServer(say);
  const controllers: Controller[] = [];
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-nodes-'));
  let clients: GoClients<Reading> | undefined;
  try {
    await populate(api, { workloads: nodes, services: 5000, nodes });
    say('populated');
    for (const name of ['controller-0', 'controller-1'])
      controllers.push(await startController(api, name));
    const described = await describeNodes(api, controllers, folder, nodes);
    for (const { pid } of controllers) await resetPeak(pid);
    const before = await cpuOf(controllers);
    say('connecting');
    clients = await startGoClients<Reading>('node-clients', ['-nodes', described], say);
    const reading = await untilReady(clients, nodes);
    say(`connections that failed or ended: ${JSON.stringify(reading.ended ?? {})}`);
    const used = (await cpuOf(controllers)).map((seconds, i) => seconds - (before[i] ?? 0));
    const peaks = await Promise.all(controllers.map(({ pid }) => residentBytes(pid)));
    return rowsOf(nodes, reading, {
      peakBytes: Math.max(...peaks.map(({ peak }) => peak)),
      cpuSeconds: Math.max(...used),
      clientSeconds: await cpuSeconds(clients.pid),
    });
  } finally {
    await clients?.stop();
    for (const controller of controllers) await controller.stop();
    await rm(folder, { recursive: true });
    await api.stop();
  }
}

const cpuOf = (controllers: readonly Controller[]) =>
  Promise.all(controllers.map(({ pid }) => cpuSeconds(pid)));

async function untilReady(clients: GoClients<Reading>, nodes: number): Promise<Reading> {
  const deadline = Date.now() + untilMs;
  for (;;) {
    const reading = await clients.read();
    if (reading.ready.length >= nodes || Date.now() > deadline) return reading;
    await sleep(200);
  }
}

type Used = { peakBytes: number; cpuSeconds: number; clientSeconds: number };

function rowsOf(nodes: number, { ready, bytes, ended }: Reading, used: Used): Row[] {
  const subject = `${nodes} nodes connect at once to two controllers, 5000 services`;
  const failed = Object.values(ended ?? {}).reduce((sum, count) => sum + count, 0);
  return [
    row(subject, 'nodes with a catalog', ready.length, 'count', { atLeast: nodes }),
    row(subject, 'until half have it', percentile(ready, 0.5) / 1000, 's'),
    row(subject, 'until all have it', Math.max(...ready) / 1000, 's', { atMost: aims.seconds }),
    row(subject, 'connections that failed or ended', failed, 'count'),
    row(subject, 'controller, RSS, peak', used.peakBytes / 1e6, 'MB', {
      atMost: aims.megabytes,
    }),
    row(subject, 'controller, CPU until then', used.cpuSeconds, 's'),
    row(subject, 'all nodes, CPU until then', used.clientSeconds, 's'),
    row(subject, 'sent to a node', percentile(bytes, 0.5) / 1e6, 'MB', {
      atMost: aims.wireBytes / 1e6,
    }),
  ];
}

/**
 * Writes the file for bench/node-clients. Each node has a source address of its own, because a
 * controller limits the connections of an address.
 */
async function describeNodes(
  api: ApiServer,
  controllers: readonly Controller[],
  folder: string,
  count: number,
): Promise<string> {
  const config = '/api/v1/namespaces/lazyscope-system/configmaps/lazyscope-ca';
  const { data } = await api.call<{ data: { 'ca.crt': string } }>('GET', config);
  const nodes: { name: string; token: string; address: string }[] = [];
  for (let index = 0; index < count; index++) {
    const name = `node-${index}`;
    nodes.push({ name, token: await nodeToken(api, name), address: addressOf(index) });
  }
  const path = join(folder, 'nodes.json');
  const addresses = controllers.map(({ grpcPort }) => `127.0.0.1:${grpcPort}`);
  await writeFile(
    path,
    JSON.stringify({ ca: data['ca.crt'], controllers: addresses, layout, nodes }),
    // The tokens are valid.
    { mode: 0o600 },
  );
  return path;
}

const addressOf = (index: number) => `127.1.${Math.floor(index / 250)}.${(index % 250) + 1}`;
