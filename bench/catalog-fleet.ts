import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { type ApiServer, startApiServer } from '../box/api/api-server.ts';
import { freePort } from '../box/api/free-port.ts';
import { nodeToken } from '../box/api/played-nodes.ts';
import { populate } from '../box/api/population.ts';
import { type Relay, startRelay } from '../box/api/relay.ts';
import type { CatalogPart } from '../companion/contract/rpc.ts';
import { createLog } from '../companion/frame/log.ts';
import { createAggregate } from '../companion/node/aggregate.ts';
import type { Link } from '../companion/node/link.ts';
import { createNodeMetrics } from '../companion/node/metrics.ts';
import { startUplink } from '../companion/node/uplink.ts';
import type { BenchOptions } from './bench.ts';
import { type Controller, startController } from './controller-process.ts';
import { resetPeak, residentBytes } from './process.ts';
import { type Row, row } from './result.ts';
import { percentile } from './statistics.ts';

const aims = { seconds: 10, megabytes: 400, wireBytes: 2e6 };
const untilMs = 180_000;

/** Streams of node companions that connect at once and keep nothing of what they are sent. */
type Followers = {
  /** Milliseconds until each had its catalog. */
  ready: number[];
  /** Bytes of the records of each as they were sent. */
  bytes: number[];
  stop(): void;
};

/** All nodes of a mesh connect at once to two controllers, as after a failure of both. */
export async function catalogFleet({ quick, say }: BenchOptions): Promise<Row[]> {
  const nodes = quick ? 100 : 1000;
  const population = { workloads: nodes, services: 5000, nodes };
  const api = await startApiServer(say);
  const controllers: Controller[] = [];
  let followers: Followers | undefined;
  try {
    await populate(api, population);
    say('populated');
    for (const name of ['controller-0', 'controller-1'])
      controllers.push(await startController(api, name));
    const folder = await mkdtemp(join(tmpdir(), 'lazyscope-nodes-'));
    try {
      const played = await prepare(api, controllers, folder, nodes);
      for (const { pid } of controllers) await resetPeak(pid);
      say('connecting');
      followers = followAll(played);
      const started = performance.now();
      while (followers.ready.length < nodes && performance.now() - started < untilMs)
        await sleep(50);
    } finally {
      await rm(folder, { recursive: true });
    }
    const { ready, bytes } = followers;
    const subject = `${nodes} nodes connect at once to two controllers, 5000 services`;
    const peaks = await Promise.all(controllers.map(({ pid }) => residentBytes(pid)));
    return [
      row(subject, 'nodes with a catalog', ready.length, 'count', { atLeast: nodes }),
      row(subject, 'until half have it', percentile(ready, 0.5) / 1000, 's'),
      row(subject, 'until all have it', Math.max(...ready) / 1000, 's', { atMost: aims.seconds }),
      row(
        subject,
        'controller, RSS, peak',
        Math.max(...peaks.map(({ peak }) => peak)) / 1e6,
        'MB',
        {
          atMost: aims.megabytes,
        },
      ),
      row(subject, 'sent to a node', percentile(bytes, 0.5) / 1e6, 'MB', {
        atMost: aims.wireBytes / 1e6,
      }),
    ];
  } finally {
    followers?.stop();
    for (const controller of controllers) await controller.stop();
    await api.stop();
  }
}

type Played = {
  ca: Buffer;
  port: number;
  nodes: { name: string; tokenPath: string; addresses: string[] }[];
  relays: Relay[];
};

/**
 * An address for each node and controller, because node companions reach all controllers on one
 * port, and because a controller limits the connections of an address.
 */
async function prepare(
  api: ApiServer,
  controllers: readonly Controller[],
  folder: string,
  count: number,
): Promise<Played> {
  const config = '/api/v1/namespaces/lazyscope-system/configmaps/lazyscope-ca';
  const { data } = await api.call<{ data: { 'ca.crt': string } }>('GET', config);
  const port = await freePort();
  const played: Played = { ca: Buffer.from(data['ca.crt']), port, nodes: [], relays: [] };
  for (let index = 0; index < count; index++) {
    const name = `node-${index}`;
    const tokenPath = join(folder, name);
    await writeFile(tokenPath, await nodeToken(api, name));
    const addresses = controllers.map((_, which) => addressOf(index, 2 + which));
    for (const [which, { grpcPort }] of controllers.entries()) {
      const host = addresses[which] ?? '';
      played.relays.push(await startRelay(grpcPort, addressOf(index, 1), { host, port }));
    }
    played.nodes.push({ name, tokenPath, addresses });
  }
  return played;
}

const addressOf = (index: number, network: number) =>
  `127.${network}.${Math.floor(index / 250)}.${(index % 250) + 1}`;

/** The node companion's own streams; in place of its replica of the catalog, a count. */
function followAll({ ca, port, nodes, relays }: Played): Followers {
  const metrics = createNodeMetrics(new Registry());
  const log = createLog('bench', 'silent');
  const now = () => performance.now();
  const started = now();
  const followers: Followers = { ready: [], bytes: [], stop: () => undefined };
  const uplinks = nodes.map(({ name, tokenPath, addresses }) => {
    let source: Link | undefined;
    let bytes = 0;
    return startUplink({
      ...{ metrics, log, now, port, tokenPath, service: 'controllers' },
      resolve: async () => addresses,
      hello: { node: name, version: '0.1.0' },
      ca: async () => ca,
      aggregate: createAggregate({ metrics, now }),
      onAnswer: () => undefined,
      onOpened(link) {
        if (source) return;
        source = link;
        link.follow({ layout: 1, digests: new Uint8Array(), id: 1 });
      },
      onEnded(link) {
        if (source === link) source = undefined;
      },
      onCatalog(_, part) {
        bytes += bytesOf(part);
        if (!part.complete) return;
        followers.ready.push(now() - started);
        followers.bytes.push(bytes);
      },
    });
  });
  followers.stop = () => {
    for (const uplink of uplinks) uplink.stop();
    for (const relay of relays) relay.stop();
  };
  return followers;
}

function bytesOf({ records, packs }: CatalogPart): number {
  const plain = records.reduce(
    (sum, { key, text }) => sum + Buffer.byteLength(key) + Buffer.byteLength(text),
    0,
  );
  return plain + packs.reduce((sum, pack) => sum + pack.length, 0);
}
