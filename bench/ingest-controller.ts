import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiServer, startApiServer } from '../box/api/api-server.ts';
import { type PlayedNodes, playNodes } from '../box/api/played-nodes.ts';
import { type Population, populate } from '../box/api/population.ts';
import type { BenchOptions } from './bench.ts';
import {
  type Controller,
  sidecars,
  startController,
  untilReconciled,
  writesOf,
} from './controller-process.ts';
import { cpuSeconds, resetPeak, residentBytes } from './process.ts';
import { type Row, row } from './result.ts';

const aimMegabytes = 300;
/**
 * Counts in a status wait up to 30 s for other changes
 * (companion/controller/reconcile/reconcile.ts).
 */
const quietMs = 35_000;
/** Long enough for two passes over all workloads (companion/controller/tick.ts). */
const settledMs = 25_000;

/** The controller with a real API server and played pods and node companions. */
export async function ingestController({ quick, say }: BenchOptions): Promise<Row[]> {
  const population: Population = quick
    ? { workloads: 100, services: 500 }
    : { workloads: 1000, services: 5000 };
  const subject = `controller, ${population.workloads} workloads, ${population.services} services`;
  const api = await startApiServer(say);
  let controller: Controller | undefined;
  let nodes: PlayedNodes | undefined;
  try {
    await populate(api, population);
    say('populated');
    controller = await startController(api);
    nodes = await playNodes(api, controller.grpcPort, population);
    const rows = await firstScopes(api, controller, population);
    say('all workloads are scoped');
    nodes.stop();
    await controller.stop();

    const started = performance.now();
    const since = () => (performance.now() - started) / 1000;
    controller = await startController(api);
    const synced = since();
    nodes = await playNodes(api, controller.grpcPort, population);
    await untilReconciled(controller);
    const reconciled = since();
    const cpu = await cpuSeconds(controller.pid);
    say(`rebuilt in ${reconciled.toFixed(1)} s`);
    rows.push(
      row('rebuild, from start', 'until all is read', synced, 's'),
      row('rebuild, from start', 'until all is reconciled', reconciled, 's'),
      row('rebuild, from start', 'CPU', cpu, 's'),
      ...(await steady(controller)),
      row('rebuilt', 'objects written', await writesOf(controller), 'count', { atMost: 0 }),
      ...(await relist(api, controller)),
    );
    return rows.map((each) => ({ ...each, case: `${subject}, ${each.case}` }));
  } finally {
    nodes?.stop();
    await controller?.stop();
    await api.stop();
  }
}

/**
 * From node companions that connect to a Sidecar for each workload, at the default rate of writes.
 */
async function firstScopes(api: ApiServer, controller: Controller, { workloads }: Population) {
  const started = performance.now();
  while ((await sidecars(api)) < workloads) await sleep(250);
  const seconds = (performance.now() - started) / 1000;
  await untilQuiet(controller);
  const { peak } = await residentBytes(controller.pid);
  return [
    row('first scopes', 'until all are written', seconds, 's'),
    row('first scopes', 'RSS, peak', peak / 1e6, 'MB', { atMost: aimMegabytes }),
  ];
}

/** Waits until nothing was written for a while, so that a restart finds the final state. */
async function untilQuiet(controller: Controller): Promise<void> {
  let [writes, since] = [-1, performance.now()];
  while (performance.now() - since < quietMs) {
    const now = await writesOf(controller);
    if (now !== writes) [writes, since] = [now, performance.now()];
    await sleep(500);
  }
}

async function steady(controller: Controller): Promise<Row[]> {
  const cpu = await cpuSeconds(controller.pid);
  await sleep(settledMs);
  const cores = ((await cpuSeconds(controller.pid)) - cpu) / (settledMs / 1000);
  const { now, peak } = await residentBytes(controller.pid);
  return [
    row('rebuilt', 'RSS, peak', peak / 1e6, 'MB', { atMost: aimMegabytes }),
    row('rebuilt', 'RSS', now / 1e6, 'MB'),
    row('rebuilt', 'CPU', cores, 'cores'),
  ];
}

/** A new API server has forgotten every resource version, so that everything is listed again. */
async function relist(api: ApiServer, controller: Controller): Promise<Row[]> {
  await resetPeak(controller.pid);
  const cpu = await cpuSeconds(controller.pid);
  await api.restart();
  await sleep(settledMs);
  const { peak } = await residentBytes(controller.pid);
  const used = (await cpuSeconds(controller.pid)) - cpu;
  return [
    row('listed again', 'RSS, peak', peak / 1e6, 'MB', { atMost: aimMegabytes }),
    row('listed again', 'CPU', used, 's'),
  ];
}
