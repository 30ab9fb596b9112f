import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiServer, startApiServer } from '../box/api/api-server.ts';
import { type CompanionProcess, startCompanionProcess } from '../box/api/companion-process.ts';
import { freePort } from '../box/api/free-port.ts';
import { nodeToken, playNodes } from '../box/api/played-nodes.ts';
import {
  namespaceOf,
  nodeOf,
  type Population,
  podName,
  podsPerWorkload,
  populate,
  workloadName,
} from '../box/api/population.ts';
import type { BenchOptions } from './bench.ts';
import { type Controller, sidecars, startController } from './controller-process.ts';
import { cpuSeconds, resetPeak, residentBytes } from './process.ts';
import { type Row, row } from './result.ts';
import { percentile } from './statistics.ts';

/** 100 pods on each of four nodes. */
const population: Population = { workloads: 200, services: 5000, nodes: 4 };
const aims = { megabytes: 96, idleCores: 0.01, p50: 1, p99: 3 };
const idleSeconds = 30;
/** As far apart as calls to new destinations are in life, so that nothing is warmer. */
const apartMs = 400;
/** The pod that asks, of the first workload. */
const asker = { workload: 0, pod: 0, address: '127.0.1.1' };

type Node = CompanionProcess & { port: number };

/** The node companion with a large catalog: memory, CPU, and how long a question takes. */
export async function catalogNode({ quick, say }: BenchOptions): Promise<Row[]> {
  const api = await startApiServer(say);
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-node-'));
  const stops: (() => unknown)[] = [];
  try {
    await populate(api, population);
    const pods = await movePods(api);
    say('populated');
    const proxies = await playProxies();
    stops.push(() => proxies.close());
    const controller = await startController(api);
    stops.push(controller.stop);
    const others = await playNodes(api, controller.grpcPort, population);
    stops.push(others.stop);
    while ((await sidecars(api)) < population.workloads) await sleep(250);
    const node = await startNode(api, controller, folder);
    stops.push(node.stop);
    while ((await node.metric('lazyscope_node_catalog_current')) < 1) await sleep(50);
    say('the node has the catalog');
    const subject = `node, ${population.services} services, ${pods} pods`;
    const rows = [...(await idle(node, quick)), ...(await questions(api, node, quick ? 20 : 150))];
    return rows.map((each) => ({ ...each, case: `${subject}, ${each.case}` }));
  } finally {
    for (const stop of stops.reverse()) await stop();
    await rm(folder, { recursive: true });
    await api.stop();
  }
}

/** Gives the pods of the first node addresses of this machine; returns how many there are. */
async function movePods(api: ApiServer): Promise<number> {
  let moved = 0;
  for (let workload = 0; workload < population.workloads; workload++) {
    for (let pod = 0; pod < podsPerWorkload(population); pod++) {
      if (nodeOf(workload, pod, population) !== 0) continue;
      moved += 1;
      const ip = `127.0.1.${moved}`;
      const path = `/api/v1/namespaces/${namespaceOf(workload)}/pods/${podName(workload, pod)}`;
      await api.call('PATCH', `${path}/status`, { status: { podIP: ip, podIPs: [{ ip }] } });
    }
  }
  return moved;
}

/** Answers readings of the memory of proxies. */
async function playProxies(): Promise<Server> {
  const figures = {
    envoy_server_memory_allocated: 12_000_000,
    envoy_server_memory_physical_size: 20_000_000,
    envoy_cluster_manager_active_clusters: 25,
  };
  const text = Object.entries(figures)
    .map(([name, value]) => `# TYPE ${name} gauge\n${name}{} ${value}\n`)
    .join('');
  const server = createServer((_, response) => void response.end(text));
  await new Promise<void>((resolve) => server.listen(15_090, '0.0.0.0', resolve));
  return server;
}

async function startNode(api: ApiServer, { grpcPort }: Controller, folder: string): Promise<Node> {
  const tokenPath = join(folder, 'token');
  await writeFile(tokenPath, await nodeToken(api, 'node-0'));
  const port = await freePort();
  const started = await startCompanionProcess('node', api, {
    ...{ port: String(port), 'node-name': 'node-0', 'token-path': tokenPath },
    ...{ 'controller-service': '127.0.0.1', 'controller-grpc-port': String(grpcPort) },
  });
  return { ...started, port };
}

async function idle(node: Node, quick: boolean): Promise<Row[]> {
  // Until the start is over: figures of all proxies, and the memory of reading the catalog.
  await sleep(quick ? 5_000 : 20_000);
  const { peak } = await residentBytes(node.pid);
  await resetPeak(node.pid);
  const before = await cpuSeconds(node.pid);
  await sleep(idleSeconds * 1000);
  const cores = ((await cpuSeconds(node.pid)) - before) / idleSeconds;
  return [
    row('start', 'RSS, peak', peak / 1e6, 'MB', { atMost: aims.megabytes }),
    row('idle', 'RSS', (await residentBytes(node.pid)).now / 1e6, 'MB', {
      atMost: aims.megabytes,
    }),
    row('idle', 'CPU', cores, 'cores', { atMost: aims.idleCores }),
  ];
}

/** One question at a time on a connection that is open, as a filter's is. */
async function questions(api: ApiServer, node: Node, count: number): Promise<Row[]> {
  const asking = await clientAt(node.port, asker.address);
  const [times, refused]: [number[], number[]] = [[], []];
  for (let i = 0; i < count; i++) {
    const name = workloadName(population.workloads - 1 - i);
    const namespace = namespaceOf(population.workloads - 1 - i);
    const { spec } = await api.call<{ spec: { clusterIP: string } }>(
      'GET',
      `/api/v1/namespaces/${namespace}/services/${name}`,
    );
    const call = { authority: `${name}.${namespace}:8080`, destination: `${spec.clusterIP}:8080` };
    await sleep(apartMs);
    const { ms, text } = await asking.ask(call);
    if (!text.includes('x-lazyscope-strategy: direct')) throw new Error(`answered ${text}`);
    times.push(ms);
    if (i % 3 > 0) continue;
    await sleep(apartMs);
    // Each refusal ends its connection. It is parsed and answered, and nothing is decided.
    const stranger = await clientAt(node.port, '127.0.9.9');
    refused.push((await stranger.ask(call)).ms);
    stranger.close();
  }
  asking.close();
  const fromCatalog = await node.metrics();
  const catalog = /node_questions_total\{source="catalog"\} (\d+)/.exec(fromCatalog)?.[1];
  const { peak } = await residentBytes(node.pid);
  return [
    row('questions', 'answered from the catalog', Number(catalog), 'count', { atLeast: count }),
    row('questions', 'the first one of all', times[0] ?? Number.NaN, 'ms'),
    row('questions', 'p50', percentile(times, 0.5), 'ms', { atMost: aims.p50 }),
    row('questions', 'p99', percentile(times, 0.99), 'ms', { atMost: aims.p99 }),
    row('questions', 'refused for its source, p50', percentile(refused, 0.5), 'ms'),
    row('questions', 'RSS, peak', peak / 1e6, 'MB', { atMost: aims.megabytes }),
  ];
}

type Asked = { ms: number; text: string };

async function clientAt(port: number, localAddress: string) {
  const socket: Socket = connect({ port, host: '127.0.0.1', localAddress, noDelay: true });
  await new Promise((resolve) => socket.once('connect', resolve));
  socket.on('error', () => undefined);
  return {
    ask({ authority, destination }: { authority: string; destination: string }): Promise<Asked> {
      const lines = [
        ...['GET /v1/resolve HTTP/1.1', 'host: lazyscope-node', 'x-lazyscope-call: http'],
        ...[`x-lazyscope-authority: ${authority}`, `x-lazyscope-destination: ${destination}`],
      ];
      return new Promise((resolve) => {
        const started = performance.now();
        socket.once('data', (data) =>
          resolve({ ms: performance.now() - started, text: data.toString() }),
        );
        socket.write(`${lines.join('\r\n')}\r\n\r\n`);
      });
    },
    close: () => void socket.destroy(),
  };
}
