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

const mesh = openMesh();
const namespace = 'switching';
const switches = 100;
let client: PodRef;

beforeAll(async () => {
  await createFleet(mesh, { namespace, clients: ['client'], targets: 3, strict: true });
  client = await mesh.pod(namespace, 'app=client');
});

afterAll(() => deleteNamespaces(mesh, namespace));

/** Takes a host out of the scope of the client, or lets it in again. */
async function exclude(hosts: string[]): Promise<void> {
  const patch = JSON.stringify({ spec: { excludes: hosts } });
  const args = ['workloadscope', 'client', '-n', namespace, '--type', 'merge', '-p', patch];
  await mesh.kubectl(['patch', ...args]);
}

test(`${switches} narrowings and widenings under up to 1,000 requests a second fail no request`, async () => {
  const entry = entryOf(namespace, target(2));
  const cluster = `outbound|${appPorts.http}||${hostOf(namespace, target(2))}`;
  for (const index of [0, 1, 2]) expect((await call(mesh, client, urlOf(index))).status).toBe(200);
  await untilImported(mesh, namespace, 'client', [2]);
  // The third destination comes and goes; the other two stay.
  const urls = [0, 1, 2].map(urlOf);
  const more = ['--connections', '8'];
  const rps = await rateHere(mesh, client, urls, { wanted: 1000, more });
  const running = await startLoad(mesh, client, urls, { rps, more });
  for (let done = 0; done < switches; done++) {
    const out = done % 2 === 0;
    await exclude(out ? [entry] : []);
    // Not that the object has changed: Envoy has taken it.
    await mesh.waitFor(`switch ${done} in Envoy`, async () => {
      return (await clusterNames(mesh, client)).includes(cluster) !== out;
    });
  }
  const least = leastSince(running, rps);
  expectAllAnswered(await running.stop(), { least });
});
