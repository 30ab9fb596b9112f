import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import {
  clusterNames,
  createFleet,
  deleteNamespaces,
  entryOf,
  hostOf,
  target,
  untilImported,
  urlOf,
} from '../../../box/fleet.ts';
import { startLoad } from '../../../box/load.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { appPorts } from '../../../box/shop.ts';
import { expectAllAnswered, leastSince, rateHere } from '../traffic.ts';
import { growMesh } from './large-mesh.ts';

const mesh = openMesh();
const namespace = 'switching';
/** The controller writes the scope of one workload at most once a second: four at a time. */
const clients = ['client-1', 'client-2', 'client-3', 'client-4'];
const switchesOfEach = 25;
const wantedOfEach = 125;
const pods = new Map<string, PodRef>();

beforeAll(async () => {
  await growMesh(mesh);
  await createFleet(mesh, { namespace, clients, targets: 3, strict: true });
  for (const name of clients) pods.set(name, await mesh.pod(namespace, `app=${name}`));
});

afterAll(() => deleteNamespaces(mesh, namespace));

/** Takes a host out of the scope of a client, or lets it in again. */
async function exclude(client: string, hosts: string[]): Promise<void> {
  const patch = JSON.stringify({ spec: { excludes: hosts } });
  const args = ['workloadscope', client, '-n', namespace, '--type', 'merge', '-p', patch];
  await mesh.kubectl(['patch', ...args]);
}

const entry = entryOf(namespace, target(2));
const cluster = `outbound|${appPorts.http}||${hostOf(namespace, target(2))}`;
// The third destination comes and goes; the other two stay.
const urls = [0, 1, 2].map(urlOf);
const more = ['--connections', '2'];

async function learn(name: string, pod: PodRef): Promise<void> {
  for (const url of urls) expect((await call(mesh, pod, url)).status).toBe(200);
  await untilImported(mesh, namespace, name, [2]);
}

async function switchUnderLoad(name: string, pod: PodRef, rps: number): Promise<void> {
  const running = await startLoad(mesh, pod, urls, { rps, more });
  for (let done = 0; done < switchesOfEach; done++) {
    const out = done % 2 === 0;
    await exclude(name, out ? [entry] : []);
    // A changed object is not enough: Envoy must have the new configuration.
    await mesh.waitFor(`switch ${done} in the Envoy of ${name}`, async () => {
      return (await clusterNames(mesh, pod)).includes(cluster) !== out;
    });
  }
  const least = leastSince(running, rps);
  expectAllAnswered(await running.stop(), { least });
}

const total = clients.length * switchesOfEach;
const most = clients.length * wantedOfEach;

test(`${total} narrowings and widenings under up to ${most} requests a second fail no request`, async () => {
  const each = [...pods];
  await Promise.all(each.map(([name, pod]) => learn(name, pod)));
  const rates = await Promise.all(
    each.map(([, pod]) => rateHere(mesh, pod, urls, { wanted: wantedOfEach, more })),
  );
  await Promise.all(
    each.map(([name, pod], index) => switchUnderLoad(name, pod, rates[index] ?? wantedOfEach)),
  );
});
