import type { Edge, NamespacePair } from './answers.ts';

/** Calls as they are drawn: between columns, at one of three distances. Pure. */

export type Flow = {
  from: string;
  to: string;
  rate: number;
  /** First called within the time that is shown. */
  isNew: boolean;
  /** Not a Service of the cluster. */
  isOutside: boolean;
  /** It ends at the one workload that is shown, so it is drawn to the left of it. */
  isCaller: boolean;
  /** What the scope of the caller says: imported before its first call, or soon to leave. */
  mark?: Edge['mark'] | undefined;
  expiresAt?: number | undefined;
};

/** What the drawing, its legend and the table show beside a host, so that colour is not needed. */
export const marks = {
  eager: ['◆', 'eager: imported before its first call'],
  expiring: ['◷', 'expiring: unused for more than half of its time'],
} as const;

export type Place = { namespace?: string | undefined; workload?: string | undefined };

const outside = 'outside the mesh’s Services';

/** Namespaces and namespaces. */
export function namespaceFlows(pairs: readonly NamespacePair[], from: number): Flow[] {
  return pairs.map(({ namespace, to, isOutside, rate, firstAt }) => ({
    ...{ from: namespace, to: to || outside, rate, isOutside },
    isNew: firstAt >= from,
    isCaller: false,
  }));
}

/**
 * The workloads of one namespace and hosts; one workload with its callers and hosts; or, for a
 * search over all namespaces, workloads and hosts.
 */
export function flowsOf(edges: readonly Edge[], place: Place, from: number): Flow[] {
  return edges
    .map(({ namespace, workload, host, rate, firstAt, mark, expiresAt }) => {
      const isOwn = namespace === place.namespace;
      const isCaller = place.workload !== undefined && !(isOwn && workload === place.workload);
      const name = isOwn ? workload : `${namespace}/${workload}`;
      return {
        from: name,
        to: isCaller ? (place.workload ?? '') : shortHost(host),
        ...{ rate, isCaller, mark, expiresAt },
        isNew: rate > 0 && firstAt >= from,
        isOutside: !isService(host),
      };
    })
    .sort((a, b) => b.rate - a.rate);
}

const isService = (host: string) => /\.svc\./.test(host);

/** `shop/cart.shop.svc.cluster.local` is cart.shop; another host is shown without its namespace. */
export function shortHost(host: string): string {
  const [, name = host] = /^[^/]*\/(.+)$/s.exec(host) ?? [];
  return isService(name) ? name.replace(/\.svc\..*$/, '') : name;
}

export type Difference = { from: string; to: string; before: number; after: number };

/** A rate that changed by less than this share is the same. */
const sameShare = 0.25;

/** Flows that came, went, or changed by a quarter, the largest difference first. */
export function differences(before: readonly Flow[], after: readonly Flow[]): Difference[] {
  const found = new Map<string, Difference>();
  const note = (flow: Flow, side: 'before' | 'after') => {
    const key = JSON.stringify([flow.from, flow.to]);
    const known = found.get(key) ?? { from: flow.from, to: flow.to, before: 0, after: 0 };
    found.set(key, { ...known, [side]: known[side] + flow.rate });
  };
  for (const flow of before) note(flow, 'before');
  for (const flow of after) note(flow, 'after');
  const size = (each: Difference) => Math.abs(each.after - each.before);
  return [...found.values()]
    .filter((each) => size(each) > sameShare * Math.max(each.before, each.after))
    .sort((a, b) => size(b) - size(a));
}
