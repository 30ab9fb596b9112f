import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type ApiServer, startApiServer } from '../../box/api/api-server.ts';
import { type CompanionProcess, startCompanionProcess } from '../../box/api/companion-process.ts';
import {
  type FaultingProxy,
  startFaultingProxy,
  type Write,
} from '../../box/api/faulting-proxy.ts';
import { freePort } from '../../box/api/free-port.ts';
import { type PlayedNodes, playNodes } from '../../box/api/played-nodes.ts';
import { populate } from '../../box/api/population.ts';
import { waitFor } from '../../box/mesh.ts';
import { repoDir } from '../../box/paths.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const population = { workloads: 1_000, services: 1_000 };
const writesPerSecond = 40;

let api: ApiServer;
let proxy: FaultingProxy;
let controller: CompanionProcess | undefined;
let nodes: PlayedNodes | undefined;
const history: Write[] = [];

beforeAll(async () => {
  api = await startApiServer(console.error);
  await populate(api, population);
  await api.applyBase();
  const account = { namespace: 'lazyscope-system', name: 'lazyscope-controller' };
  proxy = await startFaultingProxy(api, account, 'controller-0', history);
});
afterAll(async () => {
  await stop();
  await proxy?.stop();
  await api?.stop();
});

async function start(): Promise<void> {
  const grpcPort = await freePort();
  controller = await startCompanionProcess('controller', proxy, {
    'pod-name': 'controller-0',
    'grpc-port': String(grpcPort),
    'filter-port': String(await freePort()),
    'console-port': String(await freePort()),
    'wasm-path': join(repoDir, 'build', 'filter.wasm'),
    'learning-window-seconds': '0',
    'writes-per-second': String(writesPerSecond),
  });
  nodes = await playNodes(api, grpcPort, population);
}

async function stop(): Promise<void> {
  nodes?.stop();
  await controller?.stop();
  controller = undefined;
}

type Item = { metadata: { namespace: string; name: string; resourceVersion: string } };

/** Every object of a kind, with the resource version of its last write. */
async function versions(path: string): Promise<string[]> {
  const { items } = await api.call<{ items: Item[] }>('GET', path);
  return items.map(({ metadata: m }) => `${m.namespace}/${m.name} ${m.resourceVersion}`).sort();
}

const sidecarsPath = '/apis/networking.istio.io/v1/sidecars';
const sidecars = () => versions(sidecarsPath);

/** Asked several times a second, so it reads one of the thousand. */
async function countOfSidecars(): Promise<number> {
  type List = { items: Item[]; metadata: { remainingItemCount?: number } };
  const { items, metadata } = await api.call<List>('GET', `${sidecarsPath}?limit=1`);
  return items.length + (metadata.remainingItemCount ?? 0);
}

const scopes = () => versions('/apis/lazyscope.io/v1alpha1/workloadscopes');
const pending = () => controller?.metric('lazyscope_controller_workloads_pending');

test('1,000 workloads that start at once are scoped at the rate of writes, and the controller answers their first calls at the same time', async () => {
  await start();
  const answers: string[] = [];
  await waitFor(
    'all scopes',
    async () => {
      const workload = (answers.length * 37) % population.workloads;
      const answer = await nodes?.ask(workload, (workload * 7 + 50) % population.services);
      if (answer) answers.push(answer.strategy);
      return (await countOfSidecars()) === population.workloads;
    },
    280,
  );
  // `passthrough` as long as the caller has no scope, and then `hold`. This cluster has no gateway,
  // and the calls go to an address that is not the Service's, so `direct` would not apply.
  expect(new Set(answers)).toEqual(new Set(['passthrough', 'hold']));
  const made = history.filter(({ path }) => path.includes('/sidecars/')).map(({ at }) => at);
  for (const from of made) {
    const within = made.filter((at) => at >= from && at < from + 2_000).length;
    // A burst of one second's writes, and at most eight writes in flight.
    expect(within).toBeLessThanOrEqual(3 * writesPerSecond + 8);
  }
});

test('a controller that restarts with 1,000 scopes narrows and widens nothing', async () => {
  await waitFor(
    'quiet',
    async () => {
      const before = await scopes();
      await sleep(12_000);
      return (await pending()) === 0 && JSON.stringify(before) === JSON.stringify(await scopes());
    },
    280,
  );
  const before = { sidecars: await sidecars(), scopes: await scopes() };
  await stop();
  history.length = 0;
  await start();
  await waitFor('it to lead', async () => {
    return (await controller?.metric('lazyscope_controller_leader')) === 1;
  });
  // Two passes over all workloads.
  await sleep(22_000);
  expect(await pending()).toBe(0);
  expect(await sidecars()).toEqual(before.sidecars);
  expect(await scopes()).toEqual(before.scopes);
  const written = history.filter(({ path }) => /sidecars|workloadscopes|serviceentries/.test(path));
  expect(written).toEqual([]);
});
