import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiServer, startApiServer } from '../box/api/api-server.ts';
import { type PlayedNodes, playNodes } from '../box/api/played-nodes.ts';
import { type Population, populate } from '../box/api/population.ts';
import type { BenchOptions } from './bench.ts';
import { createChurn } from './churn.ts';
import {
  type Controller,
  sidecars,
  startController,
  untilReconciled,
  writesOf,
} from './controller-process.ts';
import { destinationsOf } from './edges.ts';
import { quantileOf, readHistogram } from './histogram.ts';
import { pass } from './pass.ts';
import { cpuSeconds, resetPeak, residentBytes } from './process.ts';
import { type Row, row } from './result.ts';

const aims = { megabytes: 400, growth: 1.05, answerMs: 5, restartSeconds: 10 };
/** Share of all objects that change each second. */
const churnShares = { endpoints: 0.01, services: 0.001 };
/** First calls a second over the whole mesh, each to a service that its workload does not call. */
const questionsPerSecond = 20;
/** The comparison of memory starts here, when code is compiled and caches are full. */
const warmShare = 0.2;

/** One controller with the largest mesh under churn, and after a restart. */
export async function scale({ quick, say }: BenchOptions): Promise<Row[]> {
  const size = quick
    ? { workloads: 200, services: 1000, podsPerWorkload: 5, nodes: 100 }
    : { workloads: 2000, services: 10_000, podsPerWorkload: 5, nodes: 1000 };
  const population: Population = {
    ...size,
    destinations: (workload) => destinationsOf(workload, size.services),
  };
  const subject = `${size.nodes} nodes, ${size.workloads * size.podsPerWorkload} pods, ${size.services} services`;
  const passed = await pass(quick ? 2000 : 20_000);
  say('passes are measured');
  const api = await startApiServer(say);
  let controller: Controller | undefined;
  let nodes: PlayedNodes | undefined;
  try {
    await populate(api, population);
    say('populated');
    controller = await startController(api);
    nodes = await playNodes(api, controller.grpcPort, population);
    const written = await firstScopes(api, controller, size.workloads);
    say('all workloads are scoped');
    const rows = await underChurn(api, controller, nodes, population, quick ? 60 : 600);
    say('churned');
    nodes.stop();
    await controller.stop();
    // Not stopped again below, if the next one does not start.
    controller = undefined;
    const started = performance.now();
    controller = await startController(api);
    const ready = (performance.now() - started) / 1000;
    nodes = await playNodes(api, controller.grpcPort, population);
    await untilReconciled(controller);
    const reconciled = (performance.now() - started) / 1000;
    return [
      row('first scopes', 'until all are written', written, 's'),
      ...rows,
      row('restart', 'until ready', ready, 's', { atMost: aims.restartSeconds }),
      row('restart', 'until all is reconciled', reconciled, 's'),
      row('restart', 'RSS, peak', (await residentBytes(controller.pid)).peak / 1e6, 'MB', {
        atMost: aims.megabytes,
      }),
    ]
      .map((each) => ({ ...each, case: `${subject}, ${each.case}` }))
      .concat(passed);
  } finally {
    nodes?.stop();
    await controller?.stop();
    await api.stop();
  }
}

async function firstScopes(api: ApiServer, controller: Controller, workloads: number) {
  const started = performance.now();
  while ((await sidecars(api)) < workloads) await sleep(500);
  await untilReconciled(controller);
  return (performance.now() - started) / 1000;
}

async function underChurn(
  api: ApiServer,
  controller: Controller,
  nodes: PlayedNodes,
  population: Population,
  seconds: number,
): Promise<Row[]> {
  const churn = createChurn(api, population, churnShares);
  await resetPeak(controller.pid);
  const before = await readFigures(controller);
  const asking = askAll(nodes, population, seconds);
  await churn(seconds * warmShare);
  const warm = await residentBytes(controller.pid);
  await churn(seconds * (1 - warmShare));
  await asking;
  const after = await readFigures(controller);
  const memory = await residentBytes(controller.pid);
  const p99 = quantileOf(after.answers, before.answers, 0.99);
  const elapsed = (after.at - before.at) / 1000;
  return [
    row('churn', 'RSS, peak', memory.peak / 1e6, 'MB', { atMost: aims.megabytes }),
    row('churn', 'RSS peak at the end / after a fifth', memory.peak / warm.peak, 'ratio', {
      atMost: aims.growth,
    }),
    row('churn', 'CPU', (after.cpu - before.cpu) / elapsed, 'cores'),
    row('churn', 'answers', (after.answers.count - before.answers.count) / elapsed, '1/s'),
    row('churn', 'answer in the controller, p99 at most', p99 * 1000, 'ms', {
      atMost: aims.answerMs,
    }),
    row('churn', 'writes', (after.writes - before.writes) / elapsed, '1/s'),
  ];
}

async function readFigures(controller: Controller) {
  return {
    at: performance.now(),
    cpu: await cpuSeconds(controller.pid),
    writes: await writesOf(controller),
    answers: readHistogram(await controller.metrics(), 'lazyscope_controller_answer_seconds'),
  };
}

/** Each workload in turn asks for services from the end of the list, which are rarely called. */
async function askAll(
  nodes: PlayedNodes,
  { workloads, services }: Population,
  seconds: number,
): Promise<void> {
  const started = performance.now();
  for (let n = 0; n < seconds * questionsPerSecond; n++) {
    const service = services - 1 - (Math.floor(n / workloads) % services);
    await nodes.ask(n % workloads, service);
    await sleep(Math.max(0, started + ((n + 1) * 1000) / questionsPerSecond - performance.now()));
  }
}
