import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import {
  createFleet,
  deleteNamespaces,
  entryOf,
  hostOf,
  importedHosts,
  target,
} from '../../../box/fleet.ts';
import { startLoad } from '../../../box/load.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { appPorts } from '../../../box/shop.ts';
import { expectAllAnswered, leastSince, rateHere } from '../traffic.ts';
import type { BatchResult } from './outcome.ts';

// Requests that cannot be held, at every moment of a scope change: before, between and after the
// clusters and routes that istiod sends.

const mesh = openMesh();
const namespace = 'matrix-streams';
const entry = entryOf(namespace, target(0));
const host = hostOf(namespace, target(0));
const switches = 24;
let client: PodRef;

beforeAll(async () => {
  await createFleet(mesh, { namespace, clients: ['client'], targets: 1, strict: true });
  client = await mesh.pod(namespace, 'app=client');
});

afterAll(() => deleteNamespaces(mesh, namespace));

/** Excludes the host from the client's scope, or admits it again. */
async function setExcluded(excluded: boolean): Promise<void> {
  const patch = JSON.stringify({ spec: { excludes: excluded ? [entry] : [] } });
  const args = ['workloadscope', 'client', '-n', namespace, '--type', 'merge', '-p', patch];
  await mesh.kubectl(['patch', ...args]);
  await mesh.waitFor(`${entry} ${excluded ? 'out of' : 'in'} the scope`, async () => {
    const imported = (await importedHosts(mesh, namespace, 'client')).includes(entry);
    return imported !== excluded;
  });
}

/** Makes calls of this kind, two at a time, until `enough` returns true. */
async function repeat(args: string[], enough: () => boolean): Promise<BatchResult[]> {
  const commands = JSON.stringify(Array.from({ length: 200 }, () => args));
  const results: BatchResult[] = [];
  while (!enough()) {
    const pod = { ...client, container: 'app' };
    const { stdout, stderr } = await mesh.exec(pod, ['meshapp', 'batch', '2'], commands);
    if (stdout === '') throw new Error(`meshapp batch: ${stderr}`);
    results.push(...(JSON.parse(stdout) as BatchResult[]));
  }
  return results;
}

test(`${switches} narrowings and widenings fail no WebSocket, no gRPC call and no large body`, async () => {
  expect((await call(mesh, client, `http://${host}:${appPorts.http}/`)).status).toBe(200);
  let done = 0;
  const enough = () => done >= switches;
  const websocket = ['--data', 'x', '--timeout', '30s', `ws://${host}:${appPorts.http}/ws`];
  const large = ['--data-bytes', '100000', '--timeout', '30s', `http://${host}:${appPorts.http}/`];
  const urls = [`grpc://${host}:${appPorts.grpc}`];
  const rps = await rateHere(mesh, client, urls, { wanted: 150 });
  const grpc = await startLoad(mesh, client, urls, { rps });
  const repeated = Promise.all([repeat(websocket, enough), repeat(large, enough)]);
  repeated.catch(() => (done = switches));
  for (; done < switches; done++) await setExcluded(done % 2 === 0);
  const least = leastSince(grpc, rps);
  expectAllAnswered(await grpc.stop(), { least });
  const others = await repeated;
  for (const [kind, status] of [
    [others[0], 101],
    [others[1], 200],
  ] as const) {
    const failed = kind.filter((result) => result.status !== status || (result.error ?? '') !== '');
    expect(failed.slice(0, 3)).toEqual([]);
    expect(kind.length).toBeGreaterThan(switches);
  }
});
