import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { clusterEntry, reportBody } from '../box/played/report-body.ts';
import type { BenchOptions } from './bench.ts';
import { addressOf, type LoneNode, startNodeAlone } from './lone-node.ts';
import { cpuSeconds, resetPeak, residentBytes } from './process.ts';
import { type Row, row } from './result.ts';

/**
 * A busy node: two VMs a pod (the filter runs in the main thread and the workers), 100 destinations
 * each.
 */
const load = { pods: 40, vmsPerPod: 2, destinations: 100 };
const aim = { perSecond: 50_000, megabytes: 80 };
/** The rate exceeds the aim by this factor, so that late timers do not decide the result. */
const margin = 1.04;

const clusters = Array.from(
  { length: load.destinations },
  (_, i) => `outbound|9080||service-${i}.namespace-${i % 20}.svc.cluster.local`,
);

/** The node role, with filters, controller played by this process. */
export async function ingestNode({ quick, say }: BenchOptions): Promise<Row[]> {
  const seconds = quick ? 4 : 20;
  const { node, stop } = await startNodeAlone(say, load.pods);
  try {
    const idle = await residentBytes(node.pid);
    const steady = await observe(node, aim.perSecond * margin, seconds);
    say(`at a steady rate: ${JSON.stringify(steady)}`);
    const most = await observe(node, Number.POSITIVE_INFINITY, seconds);
    say(`as fast as it takes them: ${JSON.stringify(most)}`);
    return [
      row('node, idle', 'RSS', idle.now / 1e6, 'MB'),
      row('node, steady', 'observations', steady.perSecond, '1/s', { atLeast: aim.perSecond }),
      row('node, steady', 'RSS, peak', steady.megabytes, 'MB', { atMost: aim.megabytes }),
      row('node, steady', 'CPU', steady.cores, 'cores'),
      row('node, saturated', 'observations', most.perSecond, '1/s'),
      row('node, saturated', 'RSS, peak', most.megabytes, 'MB'),
      row('node, saturated', 'CPU', most.cores, 'cores'),
    ];
  } finally {
    await stop();
  }
}

/** Epochs of VMs: each run starts VMs of its own, as restarted proxies would. */
let epoch = 1n;

/** Sends reports of all VMs for a duration and returns the node's figures. */
async function observe(node: LoneNode, perSecond: number, seconds: number) {
  const vms = load.pods * load.vmsPerPod;
  const pauseMs = (1000 * vms * load.destinations) / perSecond;
  const before = await node.metric('lazyscope_node_observations_total');
  await resetPeak(node.pid);
  const cpu = await cpuSeconds(node.pid);
  const started = performance.now();
  const until = started + seconds * 1000;
  const refused = await Promise.all(
    Array.from({ length: vms }, (_, vm) => playVm(node.port, vm % load.pods, pauseMs, until)),
  );
  const elapsed = (performance.now() - started) / 1000;
  const cores = ((await cpuSeconds(node.pid)) - cpu) / elapsed;
  const { peak } = await residentBytes(node.pid);
  const observed = (await node.metric('lazyscope_node_observations_total')) - before;
  const failed = refused.reduce((sum, count) => sum + count, 0);
  // A pod over its rate gets 429. That is no failure, but the node learns nothing from it.
  return { perSecond: observed / elapsed, megabytes: peak / 1e6, cores, refused: failed };
}

/** One VM of a filter: reports all its destinations at a rate; returns the refused reports. */
async function playVm(port: number, pod: number, pauseMs: number, until: number): Promise<number> {
  const pool = new Pool(`http://127.0.0.1:${port}`, {
    connections: 1,
    localAddress: addressOf(pod),
  });
  const mine = epoch++;
  let refused = 0;
  // Spreads the reports over time.
  let due = performance.now() + Math.random() * Math.min(pauseMs, 1000);
  for (let sequence = 1; performance.now() < until; sequence++) {
    await sleep(Math.max(0, due - performance.now()));
    due += pauseMs;
    const entries = clusters.map((name, i) => clusterEntry(name, BigInt(sequence * 3 + (i % 2))));
    const { statusCode, body } = await pool.request({
      method: 'POST',
      path: '/v1/report',
      headers: { 'content-type': 'application/octet-stream' },
      body: reportBody(mine, sequence, entries),
    });
    await body.dump();
    if (statusCode === 204) continue;
    refused += 1;
    if (statusCode === 429) await sleep(100);
    else if (statusCode !== 409) throw new Error(`a report was answered ${statusCode}`);
  }
  await pool.close();
  return refused;
}
