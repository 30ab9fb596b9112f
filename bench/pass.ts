import { setTimeout as sleep } from 'node:timers/promises';
import type { Engine } from '../companion/controller/engine.ts';
import type { KubeObject } from '../companion/kube/object.ts';
import { createRegistry, type Registry as Objects } from '../embedded/registry.ts';
import { destinationsOf } from './edges.ts';
import { startObjectEngine } from './object-engine.ts';
import { type Row, row } from './result.ts';

/** What each tick may take of the thread that answers first calls. */
const aimMs = 50;
const perNamespace = 50;
const passes = 5;
/** The time after which figures of new scopes are final (reconcile/settled.ts). */
const settledMs = 150_000;

const namespaceOf = (index: number) => `app-${Math.floor(index / perNamespace)}`;
const nameOf = (index: number) => `workload-${index}`;
const clusterOf = (index: number) =>
  `outbound|8080||${nameOf(index)}.${namespaceOf(index)}.svc.cluster.local`;

/** CPU of the pass over all workloads that the controller makes every ten seconds. */
export async function pass(workloads: number): Promise<Row[]> {
  let clock = Date.now();
  const objects = createRegistry();
  const engine = await startObjectEngine(objects, () => clock);
  fill(objects, workloads);
  engine.messages.onOpened('node-0');
  const { changed, pace } = engine.parts;
  const report = () => reportAll(engine, workloads);
  const isDone = async () => {
    do await sleep(20);
    while (pace.pending() > 0);
  };
  report();
  engine.lead();
  await isDone();
  // Two rounds, so that every record of the first writes has been compared once.
  for (let round = 0; round < 2; round++) {
    clock += settledMs;
    report();
    changed.all();
    await sleep(100);
    await isDone();
  }
  const measure = async (change: () => void) => {
    const times: number[] = [];
    for (let n = 0; n < passes; n++) {
      clock += 10_000;
      report();
      await isDone();
      change();
      const before = process.cpuUsage();
      changed.pass();
      while (pace.pending() > 0) await new Promise(setImmediate);
      const { user, system } = process.cpuUsage(before);
      times.push((user + system) / 1000);
    }
    return times.sort((a, b) => a - b)[Math.floor(passes / 2)] ?? Number.NaN;
  };
  let turn = 0;
  const changeServices = () => {
    for (let n = 0; n < workloads / 1000; n++) objects.put(serviceOf(turn++ % workloads, turn));
  };
  const none = await measure(() => undefined);
  const some = await measure(changeServices);
  await engine.stop();
  return [
    row(`pass over ${workloads} workloads`, 'CPU, nothing changed', none, 'ms', { atMost: aimMs }),
    row(`pass over ${workloads} workloads`, 'CPU, 0.1 % of services changed', some, 'ms', {
      atMost: aimMs,
    }),
  ];
}

function fill(objects: Objects, workloads: number): void {
  const labels = { 'lazyscope.io/mode': 'enforce' };
  for (let first = 0; first < workloads; first += perNamespace) {
    const metadata = { name: namespaceOf(first), labels };
    objects.put({ apiVersion: 'v1', kind: 'Namespace', metadata });
  }
  for (let index = 0; index < workloads; index++) {
    objects.put(serviceOf(index, 0));
    objects.put(podOf(index));
  }
}

/** A Service whose second port differs with `turn`. */
function serviceOf(index: number, turn: number): KubeObject {
  const metadata = { name: nameOf(index), namespace: namespaceOf(index) };
  const ports = [
    { name: 'http', port: 8080 },
    { name: 'http-more', port: 9000 + (turn % 1000) },
  ];
  const spec = { ports, selector: { app: nameOf(index) } };
  return { apiVersion: 'v1', kind: 'Service', metadata, spec };
}

function podOf(index: number): KubeObject {
  const [name, namespace] = [nameOf(index), namespaceOf(index)];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...{ name: `${name}-6d5f7c9b8-0`, namespace, uid: name },
      labels: { app: name, 'security.istio.io/tlsMode': 'istio' },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `${name}-6d5f7c9b8`, controller: true },
      ] as NonNullable<KubeObject['metadata']['ownerReferences']>,
    },
    spec: { nodeName: 'node-0', containers: [{ name: 'istio-proxy' }] },
    status: { phase: 'Running', podIPs: [{ ip: `10.100.${index >> 8}.${index & 255}` }] },
  };
}

function reportAll({ messages }: Engine, workloads: number): void {
  for (let index = 0; index < workloads; index++) {
    messages.onReport('node-0', {
      namespace: namespaceOf(index),
      pod: `${nameOf(index)}-6d5f7c9b8-0`,
      podUid: nameOf(index),
      filterVersion: '0.1.0',
      edges: destinationsOf(index, workloads).map((to) => ({
        cluster: clusterOf(to),
        secondsSinceSeen: 0,
      })),
      overflow: 0,
      secondsSinceHeartbeat: 0,
      stats: { allocatedBytes: 12e6, physicalBytes: 20e6, clusters: 25 },
    });
  }
}
