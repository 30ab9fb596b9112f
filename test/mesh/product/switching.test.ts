import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import {
  createFleet,
  deleteNamespaces,
  entryOf,
  failuresOf,
  importedHosts,
  load,
  target,
  untilImported,
  urlOf,
} from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';

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

test(`${switches} narrowings and widenings under 1,000 requests a second fail no request`, async () => {
  const entry = entryOf(namespace, target(2));
  for (const index of [0, 1, 2]) expect((await call(mesh, client, urlOf(index))).status).toBe(200);
  await untilImported(mesh, namespace, 'client', [2]);
  // The third destination comes and goes; the other two stay.
  const seconds = 150;
  const urls = [0, 1, 2].map(urlOf);
  const running = load(mesh, client, urls, { rps: 1000, seconds, more: ['--connections', '8'] });
  let done = 0;
  let finished = false;
  running.finally(() => (finished = true)).catch(() => {});
  while (done < switches && !finished) {
    const out = done % 2 === 0;
    await exclude(out ? [entry] : []);
    await mesh.waitFor(`switch ${done}`, async () => {
      const imported = (await importedHosts(mesh, namespace, 'client')).includes(entry);
      return imported !== out;
    });
    done += 1;
  }
  const result = await running;
  expect(done).toBe(switches);
  expect(failuresOf(result)).toEqual({ failed: 0, failures: [] });
  expect(result.sent).toBeGreaterThan(seconds * 900);
});
