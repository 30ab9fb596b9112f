import { setTimeout as sleep } from 'node:timers/promises';
import type { Mesh, PodRef } from '../box/mesh.ts';
import { setMode } from '../box/product.ts';
import type { BenchOptions } from './bench.ts';
import { clustersOf, onMesh, setServices } from './cluster.ts';
import {
  type ClientName,
  callDestinations,
  clientPod,
  enabled,
  handWritten,
  installClients,
  ofEach,
  removeClients,
  restart,
  untilLearned,
} from './memory-clients.ts';
import { type Row, row } from './result.ts';

/** A proxy with the allocator component gives 16 MiB back each second. */
const settleMs = 20_000;
/** Above any scope of this benchmark, far below any full configuration. */
const scopedClustersMax = 60;

/** The aims for scoped memory relative to full memory, by the size of the mesh. */
const shareMax: Record<number, number> = { 1000: 0.08, 5000: 0.018 };
const overHandWrittenMax = 4;

type Memory = { allocatedBytes: number; physicalBytes: number; clusters: number };
/** Measured before the configuration is dumped, because a dump takes memory too. */
type Round = Record<ClientName, Memory>;
type Rounds = { full: Round; narrowed: Round; started: Round; config: Record<ClientName, number> };

/** Memory of sidecars: full, scoped by us and by hand; started scoped, narrowed while running. */
export async function memory(options: BenchOptions): Promise<Row[]> {
  const { quick, say } = options;
  return onMesh(options, async (mesh) => {
    const rows: Row[] = [];
    for (const services of quick ? [1000] : [100, 1000, 5000]) {
      await setServices(mesh, services);
      try {
        const sayForSize = (line: string) => say(`${services} services: ${line}`);
        rows.push(...rowsOf(services, await atSize(mesh, services, sayForSize)));
      } finally {
        await removeClients(mesh);
      }
    }
    return rows;
  });
}

async function atSize(mesh: Mesh, services: number, say: BenchOptions['say']): Promise<Rounds> {
  const isFull = (clusters: number) => clusters >= clustersOf(services);
  const isScoped = (clusters: number) => clusters <= scopedClustersMax;
  await installClients(mesh);
  for (const name of ['untouched', 'byHand', 'stock', 'allocator'] as const)
    await untilClusters(mesh, name, isFull);
  await callDestinations(mesh);
  const full = await settled(mesh);
  say(`full configuration: ${progressLine(full)}`);

  await setMode(mesh, enabled, 'enforce');
  await mesh.apply([handWritten]);
  for (const name of ['byHand', 'stock', 'allocator'] as const)
    await untilClusters(mesh, name, isScoped);
  await callDestinations(mesh);
  await untilLearned(mesh);
  const narrowed = await settled(mesh);
  say(`narrowed while running: ${progressLine(narrowed)}`);

  await restart(mesh);
  await untilClusters(mesh, 'untouched', isFull);
  await callDestinations(mesh);
  const started = await settled(mesh);
  const config = await ofEach(mesh, async (pod) =>
    Buffer.byteLength(await mesh.admin(pod, '/config_dump?include_eds')),
  );
  say(`started with a scope: ${progressLine(started)}`);
  return { full, narrowed, started, config };
}

function rowsOf(services: number, { full, narrowed, started, config }: Rounds): Row[] {
  const of = (text: string) => `${services} services, ${text}`;
  const memoryRows = (text: string, { allocatedBytes, physicalBytes, clusters }: Memory) => [
    row(of(text), 'allocated', allocatedBytes / 1e6, 'MB'),
    row(of(text), 'physical', physicalBytes / 1e6, 'MB'),
    row(of(text), 'clusters', clusters, 'count'),
  ];
  const startedRows = (text: string, name: ClientName) => [
    ...memoryRows(text, started[name]),
    row(of(text), 'configuration', config[name] / 1e6, 'MB'),
  ];
  const [ours, byHand] = [started.stock.allocatedBytes, started.byHand.allocatedBytes];
  const share = ours / started.untouched.allocatedBytes;
  const most = shareMax[services];
  const aim = most === undefined ? undefined : { atMost: most };
  const overHandWritten = (ours - byHand) / 1e6;
  return [
    ...startedRows('full', 'untouched'),
    ...startedRows('scoped', 'stock'),
    ...startedRows('scoped, allocator', 'allocator'),
    ...startedRows('by hand, no filter', 'byHand'),
    row(of('scoped / full'), 'allocated', share, 'ratio', aim),
    row(of('scoped - by hand'), 'allocated', overHandWritten, 'MB', { atMost: overHandWrittenMax }),
    ...memoryRows('before narrowing', full.stock),
    ...memoryRows('narrowed live', narrowed.stock),
    ...memoryRows('before narrowing, allocator', full.allocator),
    ...memoryRows('narrowed live, allocator', narrowed.allocator),
    ...memoryRows('narrowed live, by hand', narrowed.byHand),
  ];
}

/** A line of progress: megabytes allocated by each client. */
function progressLine(round: Round): string {
  return Object.entries(round)
    .map(([name, { allocatedBytes }]) => `${name} ${(allocatedBytes / 1e6).toFixed(1)}`)
    .join(', ');
}

async function settled(mesh: Mesh): Promise<Round> {
  await sleep(settleMs);
  return ofEach(mesh, (pod) => carriedBy(mesh, pod));
}

async function carriedBy(mesh: Mesh, pod: PodRef): Promise<Memory> {
  const { allocated, total_physical_bytes } = JSON.parse(await mesh.admin(pod, '/memory'));
  return {
    allocatedBytes: Number(allocated),
    physicalBytes: Number(total_physical_bytes),
    clusters: await clustersIn(mesh, pod),
  };
}

async function clustersIn(mesh: Mesh, pod: PodRef): Promise<number> {
  const stats = await mesh.admin(pod, '/stats?filter=^cluster_manager.active_clusters$');
  return Number(stats.split(':').at(-1));
}

async function untilClusters(
  mesh: Mesh,
  name: ClientName,
  isWanted: (clusters: number) => boolean,
): Promise<void> {
  const pod = await clientPod(mesh, name);
  await mesh.waitFor(
    `the configuration of ${name}`,
    async () => isWanted(await clustersIn(mesh, pod)),
    300,
  );
}
