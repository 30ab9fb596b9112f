import { counted } from '../mesh/counted.ts';
import { conditionIn, conditionOf, type Mode, type Scoped, timeOf } from './condition.ts';
import { lastSeenGrainMs } from './edges.ts';
import type { Verdict } from './expiry.ts';
import { type FiguresInput, figuresOf } from './figures.ts';
import type { ScopeHost } from './hosts.ts';
import type { Watched } from './learning.ts';
import type { ProxyCount } from './proxies.ts';
import type { Pending } from './withdrawal.ts';
import type { Workload } from './workload.ts';
import type { ScopeRecord, ScopeStatus } from './workload-scope.ts';

/**
 * Owners that a scope records, each with all that is learned; more share one only if their pods
 * have the same labels and no owner in common.
 */
const ownersMax = 1_000;

export type StatusInput = FiguresInput & {
  mode: Mode;
  workload: Pick<Workload, 'owners'>;
  hosts: readonly ScopeHost[];
  /** Learned destinations that have no room. */
  leftOut: number;
  proxies: ProxyCount;
  scoped: Scoped;
  ready: Scoped;
  pending?: Pending | undefined;
  watched: Watched;
  ttlMs: number;
  verdict: Verdict;
  /** The release of the controller that records the status. */
  version: string;
  now: number;
};

export function statusOf(input: StatusInput): ScopeStatus {
  const { mode, workload, hosts, leftOut, proxies, scoped, ready, pending, watched, before, now } =
    input;
  const condition = conditionOf('Scoped', scoped, before, now);
  const { full, narrow } = figuresOf(input, conditionIn(before, 'Scoped'), condition);
  return {
    version: input.version,
    mode,
    owners: workload.owners.slice(0, ownersMax),
    ...times({ learningSince: watched.learningSince, silentSince: watched.silentSince }),
    hostCount: hosts.length,
    ...(leftOut > 0 && { hostsLeftOut: leftOut }),
    ...usageOf(input),
    hosts: hosts.map(({ entry, reason, edge, message }) => ({
      host: entry,
      reason,
      ...(message && { message }),
      ...(edge && {
        firstSeen: timeOf(edge.firstSeen),
        lastSeen: coarse(edge.lastSeen),
      }),
    })),
    proxies: {
      total: proxies.total,
      reporting: proxies.live,
      scoped: scoped.status === 'True' ? proxies.total : 0,
      summary: `${proxies.live}/${proxies.total}`,
    },
    ...section('clusters', { before: full?.clusters, after: narrow?.clusters }),
    ...section('memory', {
      beforeBytes: full?.bytes,
      afterBytes: narrow?.bytes,
      before: full?.bytes && megabytes(full.bytes),
      after: narrow?.bytes && megabytes(narrow.bytes),
    }),
    conditions: [
      condition,
      conditionOf('Ready', ready, before, now),
      ...(pending
        ? [conditionOf('WithdrawalPending', { status: 'True', ...pending }, before, now)]
        : []),
      ...(leftOut > 0 ? [conditionOf('HostsLeftOut', fullOf(leftOut), before, now)] : []),
    ],
  };
}

/** The scope has as many hosts as one object can store. */
export function fullOf(leftOut: number): Scoped {
  const what = `The scope has no room for ${counted(leftOut, 'destination')}: each call to them is a first call`;
  const remedy = 'A workload that calls this much is better not scoped: spec.mode off.';
  return { status: 'True', reason: 'ScopeFull', message: `${what}. ${remedy}` };
}

/** Destinations in use, and destinations that are about to expire. */
function usageOf({ hosts, ttlMs, verdict, now }: StatusInput) {
  const edges = hosts.flatMap(({ edge }) => edge ?? []);
  const last = Math.max(...edges.map(({ lastSeen }) => lastSeen));
  const aging = hosts.filter(({ edge, reason }) => edge && reason === 'learned');
  const unused = aging.filter(({ edge }) => now - (edge?.lastSeen ?? now) > ttlMs / 2).length;
  const { kept, reason } = verdict;
  return {
    ...(edges.length > 0 && { lastSeen: coarse(last) }),
    expiry: { ttl: durationOf(ttlMs), unused, kept, ...(reason && { reason }) },
  };
}

function durationOf(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds % 3600 === 0 ? `${seconds / 3600}h` : `${seconds}s`;
}

function times(values: Record<string, number | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, ms]) => (ms === undefined ? [] : [[name, timeOf(ms)]])),
  );
}

function coarse(ms: number): string {
  return timeOf(Math.floor(ms / lastSeenGrainMs) * lastSeenGrainMs);
}

function section(name: string, fields: Record<string, unknown>): Record<string, unknown> {
  const present = Object.entries(fields).filter(([, value]) => value !== undefined);
  return present.length > 0 ? { [name]: Object.fromEntries(present) } : {};
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)}MB`;
}

/** A change of usage by less than this share is not worth a write. */
export const usageGrain = 0.03;
/**
 * A change of the clusters by this share is a scope that was applied or removed, which users wait
 * for.
 */
const clustersGrain = 0.25;

/**
 * What is different enough to write: `now` for what people act on (hosts, mode, conditions), `soon`
 * for figures that appear or are of another kind, `later` for other counts and usage, `no` for
 * nothing.
 */
export function statusChange(
  before: ScopeStatus | undefined,
  after: ScopeStatus,
): 'now' | 'soon' | 'later' | 'no' {
  if (!before) return 'now';
  const essence = ({ mode, owners, hosts, conditions, ...status }: ScopeStatus) =>
    JSON.stringify([
      mode,
      owners,
      [status.learningSince, status.silentSince, status.goneSince],
      hosts.map(({ host, reason }) => [host, reason]),
      // Others may add their own conditions.
      conditions
        .filter(({ type }) =>
          ['Scoped', 'Ready', 'WithdrawalPending', 'HostsLeftOut'].includes(type),
        )
        .map(({ type, status: state, reason }) => [type, state, reason]),
    ]);
  if (essence(before) !== essence(after)) return 'now';
  const counts = ({ version, hosts, proxies, expiry }: ScopeStatus) =>
    JSON.stringify([
      version,
      hosts.map(({ lastSeen }) => lastSeen ?? ''),
      [proxies.summary, proxies.scoped],
      [expiry?.ttl, expiry?.unused, expiry?.kept, expiry?.reason],
    ]);
  const clusters = [
    [before.clusters?.before, after.clusters?.before],
    [before.clusters?.after, after.clusters?.after],
  ];
  if (moved(clusters, clustersGrain)) return 'soon';
  const memory = [
    [before.memory?.beforeBytes, after.memory?.beforeBytes],
    [before.memory?.afterBytes, after.memory?.afterBytes],
  ];
  const isMoved = moved([...clusters, ...memory], usageGrain);
  return counts(before) !== counts(after) || isMoved ? 'later' : 'no';
}

/** Whether one of the pairs differs by more than a share, or one side of it is missing. */
function moved(pairs: (number | undefined)[][], share: number): boolean {
  return pairs.some(([a, b]) => a !== b && (!a || !b || Math.abs(a - b) / a > share));
}

/** The record of a workload stays while it has no pods. */
export function goneStatus(
  { name, status: before }: Pick<ScopeRecord, 'name' | 'status'>,
  found: { version: string; mode: Mode; isScoped: boolean; goneSince: number; now: number },
): ScopeStatus {
  const { version, mode, isScoped, goneSince, now } = found;
  const none = { total: 0, reporting: 0, scoped: 0, summary: '0/0' };
  const message = 'The workload has no pods.';
  const scoped: Scoped = { status: isScoped ? 'True' : 'False', reason: 'NoProxies', message };
  const ready: Scoped = { status: 'False', reason: 'NoProxies', message };
  return {
    owners: [name],
    hostCount: 0,
    hosts: [],
    ...before,
    version,
    hostsLeftOut: 0,
    mode,
    goneSince: timeOf(goneSince),
    proxies: none,
    conditions: [
      conditionOf('Scoped', scoped, before, now),
      conditionOf('Ready', ready, before, now),
    ],
  };
}
