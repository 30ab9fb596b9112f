import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiServer, startApiServer } from '../../box/api/api-server.ts';
import { type CompanionProcess, startCompanionProcess } from '../../box/api/companion-process.ts';
import {
  type Fault,
  type FaultingProxy,
  startFaultingProxy,
  type Write,
  writesWithoutLease,
} from '../../box/api/faulting-proxy.ts';
import { freePort } from '../../box/api/free-port.ts';
import { type PlayedNodes, playNodes } from '../../box/api/played-nodes.ts';
import { namespaceOf, populate, workloadName } from '../../box/api/population.ts';
import { waitFor } from '../../box/mesh.ts';
import { repoDir } from '../../box/paths.ts';

// Two controllers, each behind its own proxy, against a real API server. The test plays the pods
// and nodes.
const population = { workloads: 10, services: 400 };
const system = 'lazyscope-system';
const lease = `/apis/coordination.k8s.io/v1/namespaces/${system}/leases/lazyscope-controller`;
/** A third of a lease is the margin, which is longer than the 2 s of a slow server. */
const leaseSeconds = 9;

type Replica = {
  name: string;
  proxy: FaultingProxy;
  process: CompanionProcess;
  grpcPort: number;
  nodes: PlayedNodes;
};

let api: ApiServer;
let replicas: Replica[] = [];
const history: Write[] = [];
/** Index of the next Service that no workload uses. The population uses the first ones. */
let fresh = 20;

async function startReplica(name: string): Promise<Replica> {
  const account = { namespace: system, name: 'lazyscope-controller' };
  const proxy = await startFaultingProxy(api, account, name, history);
  const grpcPort = await freePort();
  const process = await startCompanionProcess('controller', proxy, {
    'pod-name': name,
    'grpc-port': String(grpcPort),
    'filter-port': String(await freePort()),
    'console-port': String(await freePort()),
    'wasm-path': join(repoDir, 'build', 'filter.wasm'),
    'lease-seconds': String(leaseSeconds),
    'learning-window-seconds': '0',
  });
  const nodes = await playNodes(api, grpcPort, population);
  return { name, proxy, process, grpcPort, nodes };
}

beforeAll(async () => {
  api = await startApiServer(console.error);
  await populate(api, population);
  await api.applyBase();
  replicas = [await startReplica('controller-a'), await startReplica('controller-b')];
  await learned(0, fresh);
});

afterAll(async () => {
  for (const { process, nodes, proxy } of replicas) {
    process.signal('SIGCONT');
    nodes.stop();
    await process.stop();
    await proxy.stop();
  }
  await api?.stop();
});

type Sidecar = { spec: { egress: { hosts: string[] }[] } };

/**
 * Reports to every replica that a workload uses a Service, and waits until the Service is in the
 * workload's Sidecar.
 */
async function learned(workload: number, service: number, isNew = true): Promise<void> {
  const path = `/apis/networking.istio.io/v1/namespaces/${namespaceOf(workload)}/sidecars`;
  await waitFor(
    `service ${service} in the scope of ${workloadName(workload)}`,
    async () => {
      for (const { nodes } of replicas) nodes.see(workload, service);
      const name = `lazyscope-${workloadName(workload)}`;
      const { spec } = await api.call<Sidecar>('GET', `${path}/${name}`);
      const hosts = spec.egress.flatMap((each) => each.hosts);
      return hosts.some((host) => host.includes(`/service-${service}.`)) === isNew;
    },
    60,
  );
}

const next = () => {
  fresh += 1;
  return fresh;
};

async function holder(): Promise<string> {
  const { spec } = await api.call<{ spec: { holderIdentity?: string } }>('GET', lease);
  return spec.holderIdentity ?? '';
}

async function leader(): Promise<Replica> {
  return waitFor('a leader', async () => {
    const name = await holder();
    return replicas.find((each) => each.name === name);
  });
}

function faultAll(fault: FaultingProxy['fault']): void {
  for (const { proxy } of replicas) proxy.fault = fault;
}

const isWrite = ({ method, path }: { method: string; path: string }) =>
  method !== 'GET' && !path.includes('/leases') && !path.includes('tokenreviews');

test.each([409, 422, 429, 403, 500])(
  'the controller repeats writes that are refused with %i',
  async (status) => {
    let refusals = 3;
    faultAll((asked): Fault => {
      if (refusals === 0 || !isWrite(asked)) return undefined;
      refusals -= 1;
      return { status };
    });
    await learned(1, next());
    expect(refusals).toBe(0);
    faultAll(() => undefined);
  },
);

test('with an API server that takes 2 s for each request, the leader keeps the lease and continues to work', async () => {
  const before = await leader();
  const leases = () => history.filter((write) => write.holder !== undefined);
  const from = leases().length;
  faultAll(() => ({ delayMs: 2_000 }));
  await learned(2, next());
  // Longer than an unrenewed lease lasts.
  await sleep(leaseSeconds * 1_500);
  await learned(2, next());
  faultAll(() => undefined);
  const holders = new Set(
    leases()
      .slice(from)
      .map((write) => write.holder),
  );
  expect([...holders]).toEqual([before.name]);
  const log = before.process.log().split('leadership changed').length;
  expect(log).toBe(2);
});

test.each<[string, Fault, number]>([
  ['dropped', undefined, 0],
  ['refused with 410', { status: 410 }, 4],
  ['refused with 429', { status: 429 }, 4],
])('watches that are %s miss nothing', async (_how, fault, times) => {
  let left = times * replicas.length;
  faultAll(({ isWatch }) => {
    if (!isWatch || left === 0) return undefined;
    left -= 1;
    return fault;
  });
  for (const { proxy } of replicas) proxy.cut();
  const service = 5_000 + next();
  const path = `/api/v1/namespaces/${namespaceOf(0)}/services`;
  await api.call('POST', path, {
    metadata: { name: `service-${service}` },
    spec: { ports: [{ name: 'http', port: 8080 }] },
  });
  const cluster = `outbound|8080||service-${service}.${namespaceOf(0)}.svc.cluster.local`;
  await waitFor('the new service in a scope', async () => {
    for (const { nodes } of replicas) nodes.seeCluster(3, cluster);
    const sidecar = `/apis/networking.istio.io/v1/namespaces/${namespaceOf(3)}/sidecars`;
    const { spec } = await api.call<Sidecar>('GET', `${sidecar}/lazyscope-${workloadName(3)}`);
    return JSON.stringify(spec).includes(`service-${service}.`);
  });
  faultAll(() => undefined);
});

test('an expired token stops writes, and the controller uses a new token without a restart', async () => {
  for (const { proxy } of replicas) {
    await proxy.writeToken('expired');
    proxy.cut();
  }
  await sleep(2_000);
  for (const { proxy } of replicas) await proxy.writeToken();
  await learned(4, next());
});

test('the controller uses a rotated CA without a restart', async () => {
  for (const { proxy } of replicas) await proxy.rotateCa();
  await learned(5, next());
});

test('after a kill of the API server one leader writes again', async () => {
  const learning = learned(6, next());
  await api.restart();
  await learning;
});

test('a stolen lease stops its former holder until the lease is free again', async () => {
  let stolenAt = 0;
  type Lease = { metadata: { resourceVersion: string }; spec: Record<string, unknown> };
  for (;;) {
    const found = await api.call<Lease>('GET', lease);
    const spec = { ...found.spec, holderIdentity: 'thief', leaseDurationSeconds: leaseSeconds };
    const put = api.call<Lease>('PUT', lease, { ...found, spec }).catch(() => undefined);
    const stolen = await put;
    if (!stolen) continue;
    const revision = Number(stolen.metadata.resourceVersion);
    stolenAt = performance.now();
    history.push({ writer: 'thief', path: lease, revision, at: stolenAt, holder: 'thief' });
    break;
  }
  // The leader notices the theft when it renews, which it does three times in a lease. Nobody else
  // may write meanwhile.
  await sleep((leaseSeconds / 3) * 1000);
  await learned(7, next());
  const taken = history.find(({ at, holder }) => at > stolenAt && holder && holder !== 'thief');
  expect(taken?.at).toBeGreaterThan(stolenAt + leaseSeconds * 1000);
});

test('a leader that was paused for longer than its lease never writes beside its successor', async () => {
  for (let round = 0; round < 2; round++) {
    const paused = await leader();
    // Both replicas have work all the time, so that SIGSTOP meets the paused replica in the middle
    // of its work.
    const busy = setInterval(() => {
      for (const { nodes } of replicas) nodes.see(8, next());
    }, 200);
    await sleep(500 + 37 * round);
    paused.process.signal('SIGSTOP');
    await sleep((leaseSeconds + 3) * 1_000);
    expect(await holder()).not.toBe(paused.name);
    paused.process.signal('SIGCONT');
    await sleep(1_000);
    clearInterval(busy);
    // The nodes have given up the streams of the paused replica.
    paused.nodes.stop();
    paused.nodes = await playNodes(api, paused.grpcPort, population);
  }
  await learned(9, next());
});

test('during all of these faults every writer held the lease', () => {
  const leases = history.filter((write) => write.holder !== undefined);
  expect(history.length - leases.length).toBeGreaterThan(20);
  expect(new Set(leases.map((write) => write.holder)).size).toBeGreaterThan(2);
  const byProtocol = history.filter((write) => write.holder !== 'thief');
  expect(writesWithoutLease(byProtocol)).toEqual([]);
});
