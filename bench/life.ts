import { mock } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createRegistry } from '../embedded/registry.ts';
import type { BenchOptions } from './bench.ts';
import { destinationsOf } from './edges.ts';
import { createLifeObjects, type LifeSize } from './life-objects.ts';
import { startObjectEngine } from './object-engine.ts';
import { type Row, row } from './result.ts';

const aimGrowth = 1.05;
/** A workload and its scope, and a few for runs. */
const aimScopes = 1.2;
/** One simulated hour, in which as much happens as in a day. */
const seconds = 3600;
/** What happens in a day. */
const daily = {
  rolloutsPerWorkload: 4,
  runs: 10_000,
  servicesReplaced: 0.1,
  nodesReplaced: 4,
  changesOfCalls: 5,
};
/** Unused hosts leave after minutes, and all of them: by default a part does in an hour. */
const expiry = { ttlSeconds: 600, shrinkPercent: 100, shrinkCount: 2000 };
const reportSeconds = 25;
const runSeconds = 20;
/** Memory is compared from here on, when hosts have begun to expire and the history is full. */
const warmShare = 0.6;
const samples = 20;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/**
 * The heap of a controller (with the objects of its simulated API server) over an hour in which the
 * workloads of a mesh live at the pace of a day: rollouts, runs of Jobs, services and nodes that
 * are replaced, and calls that begin and end. The clock and the tick are simulated.
 */
export async function life({ quick, say }: BenchOptions): Promise<Row[]> {
  const size = quick
    ? { workloads: 50, pods: 2, services: 200, nodes: 5 }
    : { workloads: 400, pods: 2, services: 2000, nodes: 20 };
  mock.timers.enable({ apis: ['setInterval'] });
  let clock = Date.now();
  const objects = createRegistry();
  const engine = await startObjectEngine(objects, () => clock, expiry);
  const world = createLifeObjects(objects, engine.messages, size, (turn, workload) =>
    destinationsOf(workload + turn * size.workloads, size.services).slice(0, 20),
  );
  try {
    engine.startTick({ forget: world.report, expire: () => undefined, repay: () => undefined });
    engine.lead();
    const heap: { at: number; bytes: number }[] = [];
    const every = Math.floor(seconds / samples);
    for (let second = 1; second <= seconds; second++) {
      clock += 1000;
      happen(world, size, second);
      mock.timers.tick(1000);
      do await sleep(1);
      while (engine.parts.pace.pending() > 0);
      if (second % every !== 0) continue;
      collect();
      const { heapUsed, external } = process.memoryUsage();
      heap.push({ at: second, bytes: heapUsed + external });
      say(`minute ${Math.round(second / 60)}: ${((heapUsed + external) / 1e6).toFixed(0)} MB`);
    }
    const most = (from: number, to: number) =>
      Math.max(...heap.filter(({ at }) => at > from && at <= to).map(({ bytes }) => bytes));
    const before = most(warmShare * seconds - 2 * every, warmShare * seconds);
    const after = most(seconds - 2 * every, seconds);
    // 50 workloads have too few pairs to fill the history, so it grows to the end of the hour.
    const aim = quick ? undefined : { atMost: aimGrowth };
    if (quick) say('too small a mesh to fill the history: its growth has no aim in a quick run');
    const subject = `an hour at the pace of a day, ${size.workloads} workloads, ${daily.runs} runs`;
    return [
      row(subject, 'heap and buffers at the end', after / 1e6, 'MB'),
      row(subject, 'heap at the end / after three fifths', after / before, 'ratio', aim),
      row(subject, 'scopes', [...engine.state.scopes.values()].length, '', {
        atMost: size.workloads * aimScopes,
      }),
    ];
  } finally {
    await engine.stop();
    mock.timers.reset();
  }
}

/** What happens in this second of the hour. */
function happen(world: ReturnType<typeof createLifeObjects>, size: LifeSize, second: number): void {
  /** How many of the events of a day fall into this second. */
  const due = (times: number) =>
    Math.floor((times * second) / seconds) - Math.floor((times * (second - 1)) / seconds);
  for (let n = due(daily.rolloutsPerWorkload * size.workloads); n > 0; n--) world.rollOut();
  for (let n = due(daily.runs); n > 0; n--) world.startRun(second + runSeconds);
  for (let n = due(daily.servicesReplaced * size.services); n > 0; n--) world.replaceService();
  for (let n = due(daily.nodesReplaced); n > 0; n--) world.replaceNode();
  for (let n = due(daily.changesOfCalls * size.workloads); n > 0; n--) world.changeCalls();
  world.endRuns(second);
  world.reportSome(second, reportSeconds);
}
