import type { Mesh } from '../../../box/mesh.ts';
import type { Case } from './cases.ts';
import { type Client, labelOf } from './rig.ts';

/** By which clusters calls went, and for how long: what an outcome does not show. */
export type Paths = {
  /** Requests by cluster of one client; a connection of TCP counts as one. */
  requests: Map<string, number>;
  /** Milliseconds by the name of the case. */
  milliseconds: Map<string, number>;
};

/**
 * Requests that the Envoy of a client has sent, by cluster; its connection pools count those of TCP
 * too.
 */
export async function requestsOf(mesh: Mesh, { namespace, name }: Client) {
  const pod = await mesh.pod(namespace, `app=${name}`);
  const requests = new Map<string, number>();
  for (const line of (await mesh.admin(pod, '/clusters')).split('\n')) {
    const [cluster = '', , key, value] = line.split('::');
    if (key === 'rq_total') requests.set(cluster, (requests.get(cluster) ?? 0) + Number(value));
  }
  return requests;
}

/**
 * What was added, without clusters that nothing went by. A cluster that is sent anew counts from
 * nothing.
 */
export function grown(before: Map<string, number>, after: Map<string, number>) {
  const since = (name: string, count: number) => {
    const earlier = before.get(name) ?? 0;
    return count < earlier ? count : count - earlier;
  };
  const all = [...after].map(([name, count]) => [name, since(name, count)] as const);
  return new Map(all.filter(([, count]) => count > 0));
}

/** The clusters of the registry by which a case went: each has destinations of its own name. */
export function clustersOf({ name }: Pick<Case, 'name'>, requests: Map<string, number>): string[] {
  const own = new RegExp(`^outbound\\|\\d+\\|\\|(any\\.|pod-0\\.|\\*\\.)?${name}(-to)?(-2)?\\.`);
  // Two headless Services with one pod and port are one to TCP: the twin is as good.
  const found = [...requests.keys()].filter((each) => own.test(each));
  return [...new Set(found.map((each) => each.replace(`${name}-2.`, `${name}.`)))].sort();
}

/** Requests that went as first calls do, which a known call never does. */
export function firstCallRequests(requests: Map<string, number>): Record<string, number> {
  const ways = ['lazyscope-egress', 'lazyscope-direct', 'lazyscope-hold'];
  return Object.fromEntries(ways.map((way) => [way, requests.get(way) ?? 0]));
}

/**
 * A known call is an ordinary call: it may take three times as long as with full configuration, and
 * half a second more, because calls are made several at a time and one of them may have to wait for
 * the CPU.
 */
const slowest = (fullMs: number) => 3 * fullMs + 500;

/** Cases whose known call took longer than is explained by that of full configuration. */
export function slowerThanFull(cases: Case[], full: Paths, known: Paths): Case[] {
  return cases.filter(({ name }) => {
    const before = full.milliseconds.get(name) ?? 0;
    return (known.milliseconds.get(name) ?? 0) > slowest(before);
  });
}

/** Keeps for each case the larger or the smaller of two times. */
export function keepTimes(
  kept: Map<string, number>,
  times: ReadonlyMap<string, number>,
  better: (a: number, b: number) => number,
): void {
  for (const [name, ms] of times) kept.set(name, better(kept.get(name) ?? ms, ms));
}

export const emptyPaths = (clients: Client[]) =>
  new Map<string, Paths>(
    clients.map((client) => [labelOf(client), { requests: new Map(), milliseconds: new Map() }]),
  );
