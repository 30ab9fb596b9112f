import { createQuota } from '../../bounds/quota.ts';
import type { Catalog } from '../../core/mesh/catalog.ts';
import { farHostObject } from '../../core/mesh/far-host.ts';

/** Hosts that istiod sent to proxies and that no object of this cluster explains. */
export type FarHosts = {
  /** A proxy of the namespace used its cluster; false: there are too many already. */
  note(host: string, port: number, namespace: string, seenAt: number): boolean;
  /** Drops the hosts that were not used since. */
  expire(before: number): void;
};

/**
 * Per namespace, as many hosts as workloads would call in the largest remote cluster; the catalog
 * keeps 300 bytes for each.
 */
export const farHostsMax = { all: 5_000, namespace: 500 };

type FarHost = { ports: Set<number>; seenAt: Map<string, number> };

export function createFarHosts(catalog: Pick<Catalog, 'upsert' | 'remove'>): FarHosts {
  const hosts = new Map<string, FarHost>();
  const quota = createQuota({ all: farHostsMax.all, perKey: farHostsMax.namespace });

  function write(host: string, { ports, seenAt }: FarHost): void {
    const object = farHostObject(host, ports, seenAt.keys());
    if (seenAt.size > 0) {
      catalog.upsert(object);
      return;
    }
    hosts.delete(host);
    catalog.remove(object);
  }

  return {
    note(host, port, namespace, seenAt) {
      const known = hosts.get(host) ?? { ports: new Set(), seenAt: new Map() };
      const before = known.seenAt.get(namespace);
      if (before === undefined && !quota.enter(namespace)) return false;
      const isNews = before === undefined || !known.ports.has(port);
      known.seenAt.set(namespace, Math.max(before ?? 0, seenAt));
      known.ports.add(port);
      hosts.set(host, known);
      if (isNews) write(host, known);
      return true;
    },
    expire(before) {
      for (const [host, known] of hosts) {
        const old = [...known.seenAt].filter(([, at]) => at < before);
        for (const [namespace] of old) {
          known.seenAt.delete(namespace);
          quota.leave(namespace);
        }
        if (old.length > 0) write(host, known);
      }
    },
  };
}
