import { expect, vi } from 'vitest';
import { podOf } from '../../../box/played/fixtures.ts';
import type { KubeObject } from '../../../companion/kube/object.ts';
import { createFakeKube } from '../companion/controller/fake-kube.ts';
import { filterObjects } from '../companion/controller/shop.ts';
import { app, istio, pod as podObject, service } from '../companion/core/objects.ts';
import { fair } from './door.ts';
import { createNode } from './node.ts';
import type { Random } from './random.ts';
import { type Replica, startReplica } from './replica.ts';
import { createTruth } from './truth.ts';

const workloads = ['cart', 'shipping', 'web'];
const services = Array.from({ length: 30 }, (_, n) => `s${n}`);
const clusterOf = (name: string) => `outbound|80||${name}.shop.svc.cluster.local`;
const second = 1_000;

/** Objects of users, which the product must never touch. */
const foreign = [
  istio('Sidecar', 'bank/theirs', { workloadSelector: { labels: { app: 'x' } } }),
  istio('Sidecar', 'shop/for-nobody', { workloadSelector: { labels: { app: 'nobody' } } }),
  istio('ServiceEntry', 'shop/outside', { hosts: ['example.com'], ports: [] }),
  istio('VirtualService', 'shop/rules', { hosts: ['s0'], http: [] }),
];

/** Three replicas, two nodes and three workloads of two pods, in one process with one clock. */
export async function createWorld(random: Random) {
  const store = createFakeKube();
  const truth = createTruth(store);
  const nodes = ['node-1', 'node-2'].map((name) => createNode(name, random));
  const replicas = new Map<string, Replica>();
  const pods = new Map<string, { uid: string; workload: string; node: number }>();
  let made = 0;

  store.put({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shop', labels: { 'lazyscope.io/mode': 'enforce' } },
  });
  for (const object of [...filterObjects('shop'), ...foreign]) store.put(object);
  for (const [n, name] of services.entries())
    for (const object of [service(`shop/${name}`, { ip: `10.96.1.${n}` })]) store.put(object);
  for (const [n, name] of workloads.entries())
    for (const object of app(`shop/${name}`, `10.96.0.${n}`, `10.1.0.${n}`))
      if (object.kind === 'Service') store.put(object);
  for (const workload of workloads) for (const node of [0, 1]) addPod(workload, node);
  const theirs = () =>
    foreign.map(({ kind, metadata: { name } }) => {
      return store.all(kind).find(({ metadata }) => metadata.name === name)?.metadata;
    });
  const before = structuredClone(theirs());

  function addPod(workload: string, node: number): void {
    made += 1;
    const [name, uid, ip] = [`${workload}-${made}`, `uid-${made}`, `10.2.0.${made % 250}`];
    const owner = { kind: 'StatefulSet', name: workload };
    const object = podObject(`shop/${name}`, { ip, owner, labels: { app: workload } });
    const spec = { ...object.spec, nodeName: `node-${node + 1}` };
    store.put({ ...object, metadata: { ...object.metadata, uid }, spec });
    pods.set(name, { uid, workload, node });
    nodes[node]?.addPod(podOf(name, { uid, addresses: [ip] }));
  }

  async function removePod(name: string): Promise<void> {
    const found = pods.get(name);
    if (!found) return;
    pods.delete(name);
    nodes[found.node]?.removePod(found.uid);
    await store.delete({ group: '', version: 'v1', plural: 'pods' }, name, 'shop');
  }

  async function boot(identity: string): Promise<void> {
    const onWrite = truth.witness(identity);
    replicas.set(identity, await startReplica(identity, { store, random, onWrite }));
  }

  /** The node ends for good; Kubernetes notices after 40 s, and keeps its pods for longer. */
  async function loseNode(index: number): Promise<void> {
    const lost = nodes[index];
    if (!lost) return;
    nodes.splice(index, 1);
    lost.restart();
    await run(40, { faults: false });
    for (const object of store.all('Pod')) {
      if (object.spec?.nodeName !== lost.name) continue;
      const conditions = [{ type: 'Ready', status: 'False', reason: 'NodeLost' }];
      store.put({ ...object, status: { ...object.status, reason: 'NodeLost', conditions } });
    }
  }

  const alive = () => [...replicas.values()].filter(({ peer }) => peer.isAlive());
  const peers = () => [...replicas.values()].map(({ peer }) => peer);

  /**
   * The hosts that workloads use now. Workloads use some hosts always, some now and then, and some
   * never again.
   */
  const using = new Map(workloads.map((name) => [name, new Set<string>()]));
  let isResting = false;
  function use(): void {
    if (isResting) return;
    for (const { uid, workload, node } of pods.values()) {
      const hosts = using.get(workload) ?? new Set();
      if (random.chance(0.02)) hosts.add(random.pick(services));
      if (random.chance(0.01)) hosts.delete(random.pick([...hosts]) ?? '');
      for (const host of hosts) {
        if (!random.chance(0.1)) continue;
        nodes[node]?.call(uid, clusterOf(host));
        truth.used(workload, host);
      }
    }
  }

  async function fault(): Promise<void> {
    const replica = random.pick(alive());
    const node = random.pick(nodes);
    if (!replica) return;
    const kind = random.below(9);
    if (kind === 0) replica.kill();
    if (kind === 1) replica.door.weather = { failing: 1, losing: 0, lagMs: 50 };
    if (kind === 2) replica.door.weather = { failing: 0.3, losing: 0.3, lagMs: 200 };
    if (kind === 3) replica.door.weather = { failing: 0, losing: 0, lagMs: 1_000 };
    if (kind === 4) replica.door.breakWatches();
    if (kind === 5) node.restart();
    if (kind === 6) node.unreachable.add(replica.identity);
    if (kind === 7) replica.setClock(random.below(7_200_000) - 3_600_000);
    if (kind === 8) {
      const [name] = [...pods].filter((_, n) => n === random.below(pods.size))[0] ?? [];
      const found = pods.get(name ?? '');
      if (!name || !found) return;
      await removePod(name);
      addPod(found.workload, found.node);
    }
  }

  /** Advances the whole simulation by one second. */
  async function step(n: number, faults: boolean): Promise<void> {
    use();
    for (const node of nodes) {
      node.keepConnected(peers());
      if (n % 5 === 0) node.flush();
    }
    if (faults && random.chance(0.03)) await fault();
    if (faults && random.chance(0.02)) heal();
    await vi.advanceTimersByTimeAsync(second);
    for (const replica of alive()) {
      expect(replica.waiting()).toBeLessThanOrEqual(2 * workloads.length);
      if (n % 60 === 0) truth.bounds(replica.state);
    }
    for (const [identity, { peer }] of replicas)
      if (faults && !peer.isAlive() && random.chance(0.1)) await boot(identity);
  }

  async function bootDead(): Promise<void> {
    for (const [identity, { peer }] of replicas) if (!peer.isAlive()) await boot(identity);
  }

  function heal(): void {
    for (const replica of alive()) replica.door.weather = fair;
    for (const node of nodes) node.unreachable.clear();
  }

  async function run(seconds: number, { faults }: { faults: boolean }): Promise<void> {
    if (!faults) heal();
    for (let n = 0; n < seconds; n++) await step(n, faults);
  }

  return {
    truth,
    async start(): Promise<void> {
      for (const identity of ['a', 'b', 'c']) await boot(identity);
    },
    run,
    loseNode,
    /** The companion of a node ends every 15 s, after it has sent a report or two. */
    async crashLoop(index: number, seconds: number): Promise<void> {
      for (let n = 0; n < seconds; n++) {
        if (n % 15 === 0) nodes[index]?.restart();
        await step(n, false);
      }
    },
    /** No node reaches any controller. */
    async deafen(seconds: number): Promise<void> {
      for (const node of nodes) for (const { identity } of peers()) node.unreachable.add(identity);
      for (let n = 0; n < seconds; n++) await step(n, false);
    },
    bootDead,
    /** Stops all calls. */
    rest(): void {
      isResting = true;
    },
    leader: () => alive().find(({ leads }) => leads()),
    stop(): void {
      for (const replica of replicas.values()) replica.kill();
    },
    foreignUntouched: () => expect(theirs()).toEqual(before),
    sidecars: () => store.all('Sidecar').filter(({ metadata }) => metadata.ownerReferences),
  };
}

export const hostsIn = ({ spec }: KubeObject): string[] =>
  spec.egress.flatMap(({ hosts }: { hosts: string[] }) => hosts);
