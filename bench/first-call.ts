import { createFleet, entryOf, sentTo, target, untilImported, urlOf } from '../box/fleet.ts';
import { type LoadResult, load } from '../box/load.ts';
import type { Mesh, PodRef } from '../box/mesh.ts';
import { setFirstCall } from '../box/product.ts';
import type { BenchOptions } from './bench.ts';
import { newNamespace, onMesh, removeNamespaces, setServices } from './cluster.ts';
import { type Aim, type Row, row } from './result.ts';

const namespace = newNamespace('first-call');
const client = 'client';
const services = 1000;
/** Slow enough that the proxy has applied the scope of the previous call. */
const rps = 2;
/** Destinations used up to find out whether a strategy is in force. */
const spare = 10;

const strategies = ['gateway', 'direct', 'hold', 'passthrough'] as const;
type Strategy = (typeof strategies)[number];
/**
 * A second measurement with destinations that the scope excludes: they cause no writes, so the API
 * server, istiod and the controllers do not use the cores during the call.
 */
const excluded = ['gateway', 'direct'] as const;
const clusters = {
  gateway: 'lazyscope-egress',
  direct: 'lazyscope-direct',
  hold: 'lazyscope-hold',
  passthrough: 'PassthroughCluster',
};

/** `meshapp load` also reports the service time of requests, in milliseconds. */
type Timed = LoadResult & { service: { p50: number; p99: number } };

/** The first call to a destination, by each strategy, against the same call when it is known. */
export async function firstCall(options: BenchOptions): Promise<Row[]> {
  const { quick, say } = options;
  const count = quick ? 10 : 50;
  return onMesh(options, async (mesh) => {
    await setServices(mesh, services);
    const learned = strategies.length * (count + spare);
    const targets = learned + excluded.length * (count + spare);
    await createFleet(mesh, { namespace, clients: [client], targets });
    try {
      const from = await mesh.pod(namespace, `app=${client}`);
      const rows: Row[] = [];
      for (const [i, strategy] of strategies.entries()) {
        const first = i * (count + spare);
        rows.push(...(await measure(mesh, from, strategy, first, count)));
        say(`${strategy} done`);
      }
      await exclude(mesh, learned, targets);
      for (const [i, strategy] of excluded.entries()) {
        const first = learned + i * (count + spare);
        rows.push(await measureExcluded(mesh, from, strategy, first, count));
        say(`${strategy}, nothing written, done`);
      }
      return rows;
    } finally {
      await removeNamespaces(mesh, namespace);
    }
  });
}

async function measure(
  mesh: Mesh,
  from: PodRef,
  strategy: Strategy,
  start: number,
  count: number,
): Promise<Row[]> {
  await setFirstCall(mesh, namespace, strategy);
  await untilInForce(mesh, from, strategy, start);
  const urls = Array.from({ length: count }, (_, i) => urlOf(start + spare + i));
  const before = await sentByStrategy(mesh, from);
  const first = await each(mesh, from, urls);
  const after = await sentByStrategy(mesh, from);
  const took = Object.fromEntries(strategies.map((way) => [way, after[way] - before[way]]));
  if ((took[strategy] ?? 0) < count)
    throw new Error(`of ${count} first calls by ${strategy} went by ${JSON.stringify(took)}`);
  await untilImported(mesh, namespace, client, [start + spare + count - 1]);
  // The second call opens the connection that a warm call finds open.
  const second = await each(mesh, from, urls);
  const warm = await each(mesh, from, urls);
  return rowsOf(strategy, first.service, second.service, warm.service);
}

async function measureExcluded(
  mesh: Mesh,
  from: PodRef,
  strategy: Strategy,
  start: number,
  count: number,
): Promise<Row> {
  await setFirstCall(mesh, namespace, strategy);
  await untilInForce(mesh, from, strategy, start);
  const urls = Array.from({ length: count }, (_, i) => urlOf(start + spare + i));
  const { service } = await each(mesh, from, urls);
  return row(`${strategy}, nothing written`, 'first call, p50', service.p50, 'ms');
}

/** Requests that the client has sent by each strategy so far. */
async function sentByStrategy(mesh: Mesh, from: PodRef): Promise<Record<Strategy, number>> {
  const sent: [Strategy, number][] = [];
  for (const way of strategies)
    sent.push([way, (await sentTo(mesh, from, clusters[way])).requests]);
  return Object.fromEntries(sent) as Record<Strategy, number>;
}

/** Excludes destinations, so that the controller never learns them. */
async function exclude(mesh: Mesh, from: number, to: number): Promise<void> {
  const excludes = Array.from({ length: to - from }, (_, i) =>
    entryOf(namespace, target(from + i)),
  );
  const patch = JSON.stringify({ spec: { excludes } });
  const scope = ['workloadscope', client, '-n', namespace];
  await mesh.kubectl(['patch', ...scope, '--type', 'merge', '-p', patch]);
}

type Times = Timed['service'];

function rowsOf(strategy: Strategy, first: Times, second: Times, warm: Times): Row[] {
  const quickly = strategy === 'gateway' || strategy === 'direct';
  const added: Aim | undefined = quickly ? { atMost: 3 } : undefined;
  const whole: Aim | undefined = strategy === 'hold' ? { atMost: 250 } : undefined;
  return [
    row(strategy, 'first call, p50', first.p50, 'ms', whole),
    row(strategy, 'first call, p99', first.p99, 'ms'),
    row(strategy, 'second call, p50', second.p50, 'ms'),
    row(strategy, 'warm call, p50', warm.p50, 'ms'),
    row(strategy, 'warm call, p99', warm.p99, 'ms'),
    row(strategy, 'added, p50', first.p50 - warm.p50, 'ms', added),
  ];
}

/** One call to each of the URLs, one at a time, each on a connection of its own. */
async function each(mesh: Mesh, from: PodRef, urls: string[]): Promise<Timed> {
  const more = ['--connections', '1', '--new-connections-per-request'];
  // The last call is due half an interval before the end, and no other call after it.
  const flags = { rps, seconds: (urls.length - 0.5) / rps, more };
  const result = (await load(mesh, from, urls, flags)) as Timed;
  if (result.failed > 0 || result.sent < urls.length)
    throw new Error(`${result.failed} failed of ${result.sent}: ${result.failures[0]?.error}`);
  return result;
}

async function untilInForce(
  mesh: Mesh,
  from: PodRef,
  strategy: Strategy,
  start: number,
): Promise<void> {
  const before = await sentTo(mesh, from, clusters[strategy]);
  let tried = 0;
  await mesh.waitFor(`${strategy} to be in force`, async () => {
    if (tried >= spare) return false;
    await each(mesh, from, [urlOf(start + tried++)]);
    return (await sentTo(mesh, from, clusters[strategy])).requests > before.requests;
  });
}
