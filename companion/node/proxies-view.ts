import type { Aggregate } from './aggregate.ts';

/** 110 pods with 50 destinations; the view counts the rest of a longer list. */
const destinationsShown = 50;

/** What /debug/proxies shows: each proxy with its most recently used destinations. */
export function proxiesView(aggregate: Aggregate, now: number): unknown[] {
  const ageOf = (at: number) => Math.floor((now - at) / 1000);
  return Array.from(aggregate.proxies(), (proxy) => {
    const edges = Array.from(proxy.destinations.values(), ({ edge, count, seenAt }) => ({
      ...edge,
      count,
      secondsSinceSeen: ageOf(seenAt),
    }));
    const { pod, filterVersion, overflow, stats, vms } = proxy;
    const { source, heardAt, unbrokenSince } = aggregate.lifeOf(proxy);
    return {
      namespace: pod.namespace,
      pod: pod.name,
      source,
      filterVersion,
      secondsSinceHeartbeat: heardAt === undefined ? null : ageOf(heardAt),
      vms: vms.size,
      ...(unbrokenSince !== undefined && { secondsUnbroken: ageOf(unbrokenSince) }),
      overflow,
      stats: stats ? { ...stats, at: undefined, secondsSinceRead: ageOf(stats.at) } : null,
      destinations: edges.length,
      latest: edges.slice(-destinationsShown).toReversed(),
    };
  });
}
