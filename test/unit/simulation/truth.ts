import { expect } from 'vitest';
import type { State } from '../../../companion/controller/state/state.ts';
import { destinationsMax } from '../../../companion/core/scope/edges.ts';
import type { KubeObject } from '../../../companion/kube/object.ts';
import type { FakeKube } from '../companion/controller/fake-kube.ts';
import { ttlMs } from './replica.ts';
import { hostsIn } from './world.ts';

/**
 * How late a use may be told of: a filter that is silent stops expiry after 90 s, and clocks of
 * replicas are not alike.
 */
const lateMs = 180_000;

/** What really happened, and what may be written in view of it. */
export function createTruth(store: FakeKube) {
  const usedAt = new Map<string, number>();
  /** Since when it is used without a pause in which it may have been forgotten. */
  const usedSince = new Map<string, number>();
  const violations: string[] = [];
  const sidecarWrites: { at: number; name: string; added: number; removed: number }[] = [];
  const writers = new Set<string>();

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
      // A new Sidecar takes away whatever it does not have.
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
    used(workload: string, host: string): void {
      const [key, now] = [`${workload} ${host}`, Date.now()];
      if (now - (usedAt.get(key) ?? 0) > ttlMs / 2) usedSince.set(key, now);
      usedAt.set(key, now);
    },
    /** What it uses, apart from what it began to use a moment ago. */
    inUse: (workload: string) =>
      [...usedAt].flatMap(([key, at]) => {
        const [owner, host = ''] = key.split(' ');
        const isSettled = Date.now() - (usedSince.get(key) ?? 0) > 60_000;
        const isUsed = Date.now() - at < ttlMs / 2;
        return owner === workload && isUsed && isSettled ? [entryOf(host)] : [];
      }),
    /** Sees every write of a replica at the moment in which the store takes it. */
    witness: (identity: string) => (verb: string, object: KubeObject) => {
      if (object.kind === 'Lease') return;
      writers.add(identity);
      if (holder() !== identity) {
        violations.push(`${identity} wrote ${object.kind} while ${holder()} held the lease`);
      }
      if (verb === 'apply' && object.kind === 'Sidecar') onSidecar(object);
    },
    bounds({ edges, proxies }: State): void {
      expect(edges.size()).toBeLessThanOrEqual(3 * destinationsMax);
      expect([...proxies.values()].length).toBeLessThanOrEqual(60);
    },
  };
}
