import { expect } from 'vitest';
import type { State } from '../../../companion/controller/state/state.ts';
import { destinationsMax } from '../../../companion/core/scope/edges.ts';
import type { KubeObject } from '../../../companion/kube/object.ts';
import type { FakeKube } from '../companion/controller/fake-kube.ts';
import { ttlMs } from './replica.ts';
import { hostsIn } from './world.ts';

/**
 * The longest delay of a reported use. A silent filter stops expiry after 90 s, and the clocks of
 * the replicas differ.
 */
const lateMs = 180_000;

/** Records what really happened, and checks each write against it. */
export function createTruth(store: FakeKube) {
  const usedAt = new Map<string, number>();
  /** Start of the current period of use, without a pause in which the host may have expired. */
  const usedSince = new Map<string, number>();
  const violations: string[] = [];
  const sidecarWrites: { at: number; name: string; added: number; removed: number }[] = [];
  const writers = new Set<string>();
  const withdrawn: string[] = [];

  const holder = () => store.all('Lease')[0]?.spec.holderIdentity as string | undefined;
  const entryOf = (host: string) => `shop/${host}.shop.svc.cluster.local`;

  function onSidecar(desired: KubeObject): void {
    const { name } = desired.metadata;
    const current = store.all('Sidecar').find(({ metadata }) => metadata.name === name);
    const before = current ? hostsIn(current) : [];
    const after = new Set(hostsIn(desired));
    const removed = before.filter((host) => !after.has(host));
    const added = after.size - (before.length - removed.length);
    sidecarWrites.push({ at: Date.now(), name, added, removed: removed.length });
    const workload = name.replace('lazyscope-', '');
    for (const [key, at] of usedAt) {
      const [owner = '', host = ''] = key.split(' ');
      const age = Date.now() - at;
      // A new Sidecar removes every host that it does not have.
      const isTaken = current ? removed.includes(entryOf(host)) : !after.has(entryOf(host));
      if (owner === workload && isTaken && age < ttlMs - lateMs && age > lateMs) {
        violations.push(`${name} lost ${host}, used ${age / 1000} s ago`);
      }
    }
  }

  return {
    violations,
    sidecarWrites,
    writers,
    /** Sidecars that a replica deleted. */
    withdrawn,
    used(workload: string, host: string): void {
      const [key, now] = [`${workload} ${host}`, Date.now()];
      if (now - (usedAt.get(key) ?? 0) > ttlMs / 2) usedSince.set(key, now);
      usedAt.set(key, now);
    },
    /** Hosts in use, except for those whose use began a moment ago. */
    inUse: (workload: string) =>
      [...usedAt].flatMap(([key, at]) => {
        const [owner, host = ''] = key.split(' ');
        const isSettled = Date.now() - (usedSince.get(key) ?? 0) > 60_000;
        const isUsed = Date.now() - at < ttlMs / 2;
        return owner === workload && isUsed && isSettled ? [entryOf(host)] : [];
      }),
    /** Checks every write of a replica in the moment in which the store accepts it. */
    witness: (identity: string) => (verb: string, object: KubeObject) => {
      if (object.kind === 'Lease') return;
      writers.add(identity);
      if (holder() !== identity) {
        violations.push(`${identity} wrote ${object.kind} while ${holder()} held the lease`);
      }
      if (verb === 'apply' && object.kind === 'Sidecar') onSidecar(object);
      if (verb === 'delete' && object.kind === 'Sidecar') withdrawn.push(object.metadata.name);
    },
    bounds({ edges, proxies }: State): void {
      expect(edges.size()).toBeLessThanOrEqual(3 * destinationsMax);
      expect([...proxies.values()].length).toBeLessThanOrEqual(60);
    },
  };
}
