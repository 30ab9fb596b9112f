import type { Edge } from './answers.ts';

/** Edges as they are drawn: between two columns, at one of three distances. Pure. */

export type Flow = {
  from: string;
  to: string;
  rate: number;
  /** First called within the time that is shown. */
  isNew: boolean;
  /** Not a Service of the cluster. */
  isOutside: boolean;
};

export type Place = { namespace?: string | undefined; workload?: string | undefined };

/** Namespaces and namespaces; the workloads of one namespace and hosts; one workload and hosts. */
export function flowsOf(edges: readonly Edge[], place: Place, from: number): Flow[] {
  const flows = new Map<string, Flow>();
  for (const edge of edges) {
    const { namespace, workload, host, rate, firstAt } = edge;
    if (place.namespace !== undefined && namespace !== place.namespace) continue;
    if (place.workload !== undefined && workload !== place.workload) continue;
    const [hostNamespace = '', name = ''] = host.split('/');
    const isOutside = !/\.svc\./.test(name);
    const far = isOutside ? 'outside the mesh’s Services' : hostNamespace;
    const ends =
      place.namespace === undefined
        ? { from: namespace, to: far }
        : { from: workload, to: name || host };
    const key = JSON.stringify(ends);
    const flow = flows.get(key) ?? { ...ends, rate: 0, isNew: true, isOutside };
    flow.rate += rate;
    flow.isNew = flow.isNew && firstAt >= from;
    flows.set(key, flow);
  }
  return [...flows.values()].sort((a, b) => b.rate - a.rate);
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
    found.set(key, { ...known, [side]: flow.rate });
  };
  for (const flow of before) note(flow, 'before');
  for (const flow of after) note(flow, 'after');
  const size = (each: Difference) => Math.abs(each.after - each.before);
  return [...found.values()]
    .filter((each) => size(each) > sameShare * Math.max(each.before, each.after))
    .sort((a, b) => size(b) - size(a));
}
