import { createFleet, entryOf, importedHosts, target } from '../box/fleet.ts';
import { type LoadResult, load } from '../box/load.ts';
import type { Mesh, PodRef } from '../box/mesh.ts';
import { appPorts } from '../box/shop.ts';
import type { BenchOptions } from './bench.ts';
import { newNamespace, onMesh, removeNamespaces, setServices } from './cluster.ts';
import { type Row, row } from './result.ts';
import { percentile } from './statistics.ts';

const client = 'client';
const services = 1000;
/** One request each 5 ms, which is the resolution of the measured time. */
const rps = 200;
const seconds = 1.5;

/** Time from the answer to the first call until a request takes its permanent route. */
export async function activation(options: BenchOptions): Promise<Row[]> {
  const { quick, say } = options;
  const destinations = quick ? 10 : 50;
  return onMesh(options, async (mesh) => {
    await setServices(mesh, services);
    return measure(mesh, destinations, say);
  });
}

async function measure(mesh: Mesh, destinations: number, say: BenchOptions['say']): Promise<Row[]> {
  const namespace = newNamespace('activation');
  // Passthrough is plain text and the real cluster uses mTLS, so the server sees the change.
  await createFleet(mesh, {
    namespace,
    clients: [client],
    targets: destinations,
    firstCall: 'passthrough',
  });
  try {
    const from = await mesh.pod(namespace, `app=${client}`);
    const times: number[] = [];
    for (let i = 0; i < destinations; i++) times.push(await activate(mesh, from, target(i)));
    say(times.map((ms) => ms.toFixed(0)).join(' '));
    const subject = `${services} services, ${destinations} destinations`;
    return [
      row(subject, 'p50', percentile(times, 0.5), 'ms', { atMost: 200 }),
      row(subject, 'p99', percentile(times, 0.99), 'ms', { atMost: 500 }),
      row(subject, 'max', Math.max(...times), 'ms'),
    ];
  } finally {
    await removeNamespaces(mesh, namespace);
  }
}

/** Milliseconds between the first answer and the first one that came from the real cluster. */
async function activate(mesh: Mesh, from: PodRef, name: string): Promise<number> {
  const more = ['--connections', '1', '--key', 'status,peerIdentity'];
  const url = `http://${name}:${appPorts.http}/`;
  const result = await load(mesh, from, [url], { rps, seconds, more });
  if (result.failed > 0) throw new Error(`${url}: ${result.failed} requests failed`);
  const first = Math.min(...result.outcomes.map(({ firstMs }) => firstMs));
  const real = outcome(result, `spiffe://`)?.firstMs;
  if (real === undefined || real === first) {
    const imported = await importedHosts(mesh, from.namespace, client);
    const scoped = imported.includes(entryOf(from.namespace, name)) ? 'in' : 'not in';
    const keys = result.outcomes.map(({ key }) => key).join(', ');
    throw new Error(`${url} is ${scoped} the scope, and all answers were the same: ${keys}`);
  }
  return real - first;
}

function outcome({ outcomes }: LoadResult, part: string) {
  return outcomes.find(({ key }) => key.includes(part));
}
