import type { Mesh } from '../../../box/mesh.ts';
import type { Case } from './cases.ts';
import type { ProxyRef } from './proxies.ts';
import { type Client, labelOf } from './rig.ts';

/** The clusters and the times of calls, which an outcome does not show. */
export type Paths = {
  /** Requests of one client, by cluster. A TCP connection counts as one request. */
  requests: Map<string, number>;
  /** Milliseconds, by the name of the case. */
  milliseconds: Map<string, number>;
};

/**
 * Requests that the Envoy of a client has sent, by cluster. Envoy's connection pools count TCP
 * connections as requests too.
 */
export async function requestsOf(mesh: Mesh, { namespace, name }: ProxyRef) {
  const pod = await mesh.pod(namespace, `app=${name}`);
  const requests = new Map<string, number>();
  for (const line of (await mesh.admin(pod, '/clusters')).split('\n')) {
    const [cluster = '', , key, value] = line.split('::');
    if (key === 'rq_total') requests.set(cluster, (requests.get(cluster) ?? 0) + Number(value));
  }
  return requests;
}

/**
 * The increase since `before`, without the clusters that had none. A re-created cluster counts from
 * zero.
 */
export function grown(before: Map<string, number>, after: Map<string, number>) {
  const since = (name: string, count: number) => {
    const earlier = before.get(name) ?? 0;
    return count < earlier ? count : count - earlier;
  };
  const all = [...after].map(([name, count]) => [name, since(name, count)] as const);
  return new Map(all.filter(([, count]) => count > 0));
}

/** The registry clusters that served a case, found by the destination's unique name. */
export function clustersOf({ name }: Pick<Case, 'name'>, requests: Map<string, number>): string[] {
  const own = new RegExp(`^outbound\\|\\d+\\|\\|(any\\.|pod-0\\.|\\*\\.)?${name}(-to)?(-2)?\\.`);
  // For TCP, two headless Services with the same pod and port are the same, so the twin counts too.
  const found = [...requests.keys()].filter((each) => own.test(each));
  return [...new Set(found.map((each) => each.replace(`${name}-2.`, `${name}.`)))].sort();
}

/** Requests through the clusters of first calls, which a known call never uses. */
export function firstCallRequests(requests: Map<string, number>): Record<string, number> {
  const ways = ['lazyscope-egress', 'lazyscope-direct', 'lazyscope-hold', 'lazyscope-unknown'];
  return Object.fromEntries(ways.map((way) => [way, requests.get(way) ?? 0]));
}

/**
 * The longest time of a known call, which is an ordinary call: three times the time with full
 * configuration, plus half a second, because several calls run at once and one of them may wait for
 * the CPU.
 */
const slowest = (fullMs: number) => 3 * fullMs + 500;

/** Cases whose known call took longer than the time with full configuration can explain. */
export function slowerThanFull(cases: Case[], full: Paths, known: Paths): Case[] {
  return cases.filter(({ name }) => {
    const before = full.milliseconds.get(name) ?? 0;
    return (known.milliseconds.get(name) ?? 0) > slowest(before);
  });
}

/** Keeps for each case the better of two times. */
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
