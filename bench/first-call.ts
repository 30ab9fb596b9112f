import { setTimeout as sleep } from 'node:timers/promises';
import { createFleet, entryOf, sentTo, target, untilImported } from '../box/fleet.ts';
import type { Mesh, PodRef } from '../box/mesh.ts';
import { setFirstCall } from '../box/product.ts';
import { appPorts, namespaceObject, workload } from '../box/shop.ts';
import type { BenchOptions } from './bench.ts';
import { newNamespace, onMesh, removeNamespaces, setServices } from './cluster.ts';
import {
  added,
  questionRows,
  type Strategy,
  stepRows,
  strategies,
  type Times,
} from './first-call-rows.ts';
import type { Histogram } from './histogram.ts';
import { questionsOf } from './node-metrics.ts';
import { type Row, row } from './result.ts';
import { callEach } from './timed-calls.ts';

/**
 * The first call to a destination, by each strategy, against the first call of a sidecar with full
 * configuration, which opens a connection too. The two sidecars take turns, so that both are
 * measured on the same machine at the same time.
 */

const namespace = newNamespace('first-call');
const client = 'client';
/** Not enabled: its sidecar has the whole mesh, and no filter. */
const full = { namespace: `${namespace}-full`, name: 'cold' };
const services = 1000;
/**
 * Of each sidecar. Slow enough that nothing is warmer than in a workload that calls something new
 * once in a while, and that the proxy has applied the scope of the previous call.
 */
const rps = 1;
/** Rounds until both workers of a sidecar have a connection to nearly every destination. */
const warming = { rounds: 4, rps: 20 };
/** Destinations used up to find out whether a strategy is in force. */
const spare = 10;

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

type Clients = { mesh: Mesh; scoped: PodRef; whole: PodRef };
type Pair = { first: Times; cold: Times };

export async function firstCall(options: BenchOptions): Promise<Row[]> {
  const { quick, say } = options;
  const count = quick ? 10 : 50;
  return onMesh(options, async (mesh) => {
    await setServices(mesh, services);
    const learned = strategies.length * (count + spare);
    const targets = learned + excluded.length * (count + spare);
    await mesh.apply([namespaceObject(full.namespace), ...workload(full.namespace, full.name)]);
    await createFleet(mesh, { namespace, clients: [client], targets });
    try {
      const scoped = await mesh.pod(namespace, `app=${client}`);
      const whole = await mesh.pod(full.namespace, `app=${full.name}`);
      const clients = { mesh, scoped, whole };
      const before = await questionsOf(mesh);
      const pairs = {} as Record<Strategy, Pair>;
      for (const [i, strategy] of strategies.entries()) {
        pairs[strategy] = await measure(clients, strategy, i * (count + spare), count);
        say(`${strategy} done`);
      }
      const asked = await questionsOf(mesh);
      const warm = await measureWarm(clients, spare, count);
      await exclude(mesh, learned, targets);
      const apart: Row[] = [];
      for (const [i, strategy] of excluded.entries()) {
        const start = learned + i * (count + spare);
        apart.push(...(await measureExcluded(clients, strategy, start, count)));
        say(`${strategy}, nothing written, done`);
      }
      return allRows(pairs, warm, { before, asked, apart });
    } finally {
      await removeNamespaces(mesh, namespace, full.namespace);
    }
  });
}

type Rest = { before: Histogram; asked: Histogram; apart: Row[] };

function allRows(pairs: Record<Strategy, Pair>, warm: Times, rest: Rest): Row[] {
  const question = questionRows(rest.before, rest.asked);
  return [
    row('full configuration', 'warm call, p50', warm.p50, 'ms'),
    row('full configuration', 'warm call, p99', warm.p99, 'ms'),
    ...question.rows,
    ...strategies.flatMap((strategy) => added(strategy, pairs[strategy])),
    ...rest.apart,
    ...stepRows(pairs, warm, question.p50),
  ];
}

async function measure(
  clients: Clients,
  strategy: Strategy,
  start: number,
  count: number,
): Promise<Pair> {
  const { mesh, scoped } = clients;
  await setFirstCall(mesh, namespace, strategy);
  await untilInForce(mesh, scoped, strategy, start);
  const before = await sentByStrategy(mesh, scoped);
  const pair = await inTurns(clients, urlsFrom(start + spare, count));
  const after = await sentByStrategy(mesh, scoped);
  const took = Object.fromEntries(strategies.map((way) => [way, after[way] - before[way]]));
  if ((took[strategy] ?? 0) < count)
    throw new Error(`of ${count} first calls by ${strategy} went by ${JSON.stringify(took)}`);
  await untilImported(mesh, namespace, client, [start + spare + count - 1]);
  return pair;
}

async function measureExcluded(
  clients: Clients,
  strategy: Strategy,
  start: number,
  count: number,
): Promise<Row[]> {
  await setFirstCall(clients.mesh, namespace, strategy);
  await untilInForce(clients.mesh, clients.scoped, strategy, start);
  const pair = await inTurns(clients, urlsFrom(start + spare, count));
  return added(`${strategy}, nothing written`, pair);
}

/** The same calls by a sidecar whose connections are open. */
async function measureWarm({ mesh, whole }: Clients, start: number, count: number): Promise<Times> {
  const urls = urlsFrom(start, count);
  for (let n = 0; n < warming.rounds; n++) await callEach(mesh, whole, urls, warming.rps);
  return (await callEach(mesh, whole, urls, 2 * rps)).service;
}

const urlsFrom = (start: number, count: number) =>
  Array.from({ length: count }, (_, i) => urlOf(start + i));

/** The name that callers of both namespaces use. */
const urlOf = (index: number) => `http://${target(index)}.${namespace}:${appPorts.http}/`;

/** Each sidecar calls each destination once; their calls alternate, half an interval apart. */
async function inTurns({ mesh, scoped, whole }: Clients, urls: string[]): Promise<Pair> {
  const calls = callEach(mesh, scoped, urls, rps);
  await sleep(500 / rps);
  const [first, cold] = await Promise.all([calls, callEach(mesh, whole, urls, rps)]);
  return { first: first.service, cold: cold.service };
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
    await callEach(mesh, from, [urlOf(start + tried++)], 2);
    return (await sentTo(mesh, from, clusters[strategy])).requests > before.requests;
  });
}
