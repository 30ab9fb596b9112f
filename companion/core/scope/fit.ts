import { type Edge, lastSeenGrainMs } from './edges.ts';
import { entryOf, type ScopeHost } from './hosts.ts';
import type { SidecarRecord } from './sidecar.ts';
import type { Workload } from './workload.ts';
import type { ScopeRecord } from './workload-scope.ts';

/**
 * Keeps a scope below what etcd stores. Each list of reasons has a bound of its own, where one can
 * grow without calls of the workload; this is the bound over all of them.
 */
export type FittedScope = {
  /** Sorted by entry. */
  hosts: ScopeHost[];
  /** Learned destinations that have no room; their calls are first calls each time. */
  leftOut: number;
  /** The hosts that must not be left out have no room by themselves; the list is for people. */
  isTooLarge: boolean;
};

/**
 * Most bytes of hosts, and of what else the objects of a scope repeat. etcd accepts 1.5 MiB an
 * object; conditions, figures and what the API server adds take less than 100 KB.
 */
export const scopeBytesMax = 1_100_000;

/** Bytes for the hosts of a workload, beside what its objects hold anyway. */
export function roomFor(fixed: {
  scope: Pick<ScopeRecord, 'pins' | 'excludes'>;
  workload: Pick<Workload, 'owners' | 'selector'>;
  shadowed: SidecarRecord | undefined;
}): number {
  const { scope, workload, shadowed } = fixed;
  const spec = bytesOfJson([scope.pins, scope.excludes]);
  // The API server records the writer of each pin and exclude, so each is in the object twice.
  const inScope = 2 * spec + bytesOfJson([workload.owners, workload.selector]);
  const inSidecar = bytesOfJson([workload.selector, shadowed?.spec ?? {}]);
  return scopeBytesMax - Math.max(inScope, inSidecar);
}

function bytesOfJson(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}

/** A host without its names: the fields, the longest reason, two times. */
const fixedBytes = 130;
/** A character in JSON at worst: `\u0001`, or three bytes of UTF-8. */
const characterBytesMax = 6;

/** An upper bound of what the host takes in the status of a WorkloadScope, and so in a Sidecar. */
function bytesOf({ entry, message = '' }: ScopeHost): number {
  return fixedBytes + bytesOfJson([entry, message]);
}

function fits(hosts: readonly ScopeHost[], bytesMax: number): boolean {
  // Most scopes are small enough to need no exact figure.
  const most = hosts.reduce(
    (sum, { entry, message = '' }) =>
      sum + fixedBytes + characterBytesMax * (entry.length + message.length),
    0,
  );
  return most <= bytesMax || sizeOf(hosts) <= bytesMax;
}

function sizeOf(hosts: readonly ScopeHost[]): number {
  return hosts.reduce((sum, host) => sum + bytesOf(host), 0);
}

/**
 * The hosts of a scope as far as they fit into `bytesMax`. Learned destinations go first, those
 * that were unused for longest, with the hosts that only they bring: a call to one is a first call
 * again. The others stay, because the first call to one of them could not be served, or its
 * configuration would be incomplete. `build` makes the hosts of some destinations, and more of
 * more.
 */
export function fitScope(
  edges: readonly Edge[],
  build: (edges: readonly Edge[]) => ScopeHost[],
  bytesMax: number,
): FittedScope {
  const all = build(edges);
  if (fits(all, bytesMax)) return { hosts: all, leftOut: 0, isTooLarge: false };
  const least = build([]);
  if (!fits(least, bytesMax))
    return { hosts: shortened(all, bytesMax), leftOut: 0, isTooLarge: true };
  let rest = [...edges].sort(lastUsedFirst);
  let fit: Fit = { kept: [], hosts: least, bytes: sizeOf(least) };
  const search = { build, bytesMax, builds: 0 };
  for (let skipped = 0; skipped <= skipsMax && rest.length > 0; skipped++) {
    const before = fit.kept.length;
    fit = longestFit(fit, rest, search);
    rest = rest.slice(fit.kept.length - before + 1);
  }
  return { hosts: fit.hosts, leftOut: edges.length - fit.kept.length, isTooLarge: false };
}

/**
 * One destination may bring thousands of hosts, such as its aliases, which other tenants can make.
 * So many destinations are passed over for those after them.
 */
const skipsMax = 3;

/**
 * Most scopes that are built to find what fits, at some milliseconds each for the largest. Two or
 * three do, unless single destinations bring many hosts; then a few more may be left out.
 */
export const buildsMax = 16;

type Fit = { kept: readonly Edge[]; hosts: ScopeHost[]; bytes: number };

type Search = {
  build: (edges: readonly Edge[]) => ScopeHost[];
  bytesMax: number;
  builds: number;
};

/** What is kept, with the longest start of the list that also fits. */
function longestFit(fit: Fit, edges: readonly Edge[], search: Search): Fit {
  const { build, bytesMax } = search;
  let best = fit;
  // The destinations alone, without what they bring, leave room for no more than these.
  let over = ownFit(fit, edges, bytesMax) + 1;
  let overBytes = Number.POSITIVE_INFINITY;
  let taken = 0;
  for (let turn = 0; over - taken > 1 && search.builds < buildsMax; turn++) {
    // In proportion to the bytes, and every other time in the middle, for a list with steps.
    const share = turn % 2 === 1 ? 0.5 : (bytesMax - best.bytes) / (overBytes - best.bytes);
    const guess = turn === 0 ? over - 1 : taken + Math.floor((over - taken) * share);
    const count = Math.min(over - 1, Math.max(taken + 1, guess));
    search.builds += 1;
    const kept = [...fit.kept, ...edges.slice(0, count)];
    const hosts = build(kept);
    const bytes = sizeOf(hosts);
    if (bytes > bytesMax) [over, overBytes] = [count, bytes];
    else [taken, best] = [count, { kept, hosts, bytes }];
  }
  return best;
}

/** How many destinations fit at most, in their order. */
function ownFit({ hosts, bytes }: Fit, edges: readonly Edge[], bytesMax: number): number {
  const there = new Set(hosts.map(({ entry }) => entry));
  let room = bytesMax - bytes;
  const first = edges.findIndex((edge) => {
    const entry = entryOf(edge);
    if (!there.has(entry)) room -= bytesOf({ entry, reason: 'learned' });
    return room < 0;
  });
  return first < 0 ? edges.length : first;
}

/** By the hour, so that destinations in use do not take turns. */
function lastUsedFirst(a: Edge, b: Edge): number {
  const hourOf = ({ lastSeen }: Edge) => Math.floor(lastSeen / lastSeenGrainMs);
  return hourOf(b) - hourOf(a) || a.firstSeen - b.firstSeen || (entryOf(a) < entryOf(b) ? -1 : 1);
}

/** What is remembered over a restart comes first; messages would take room from it. */
function shortened(hosts: readonly ScopeHost[], bytesMax: number): ScopeHost[] {
  const bare = hosts.map(({ message: _, ...host }) => host);
  const kept: ScopeHost[] = [];
  let room = bytesMax;
  const learned = bare.filter(({ reason }) => reason === 'learned');
  for (const host of [...learned, ...bare.filter(({ reason }) => reason !== 'learned')]) {
    room -= bytesOf(host);
    if (room < 0) break;
    kept.push(host);
  }
  return kept.sort((a, b) => (a.entry < b.entry ? -1 : 1));
}
