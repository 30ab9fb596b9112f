import type { KubeObject } from './object.ts';

/**
 * Leader election by a Lease, as in client-go. Writes carry the resource version, so that two
 * candidates cannot both win. A candidate counts the holder as gone only if the Lease did not
 * change for its whole duration, measured by the candidate's own clock. Clocks of two machines are
 * never compared.
 *
 *   candidate: read -> (none) create, (free, own or expired) replace, (held) wait
 *   leader:    replace -> (409) read -> (own) replace again, (another holder) follow
 */

/** One moment, read from both clocks of this machine, in milliseconds. */
export type Moment = {
  /** The monotonic clock. It stops while a virtual machine is paused. */
  steady: number;
  /** The time of day. A user or NTP may set it. */
  wall: number;
};

export type Election = {
  /** The Lease as last read or written. `none`: no Lease exists; undefined: it must be read. */
  known: KubeObject | 'none' | undefined;
  /** The end of this process's leadership; undefined: this process does not lead. */
  until: Moment | undefined;
  /** Version of a Lease that another process holds, and the time when it was first seen. */
  observed: { resourceVersion: string; since: number } | undefined;
  /** A Lease existed. If it is deleted, its holder may still believe that it leads. */
  wasSeen: boolean;
  /** The earliest time, by the steady clock, at which this process may lead. */
  notBefore: number;
};

export type ElectionEvent =
  /** A new attempt begins. */
  | { type: 'turn' }
  | { type: 'read'; lease: KubeObject | undefined }
  /**
   * This process created or replaced the Lease. `from` is the moment before the request, because
   * the server may have stored the Lease at once.
   */
  | { type: 'written'; lease: KubeObject; from: Moment }
  /** 409: another process wrote the Lease, or this process did and the answer was lost. */
  | { type: 'conflict' }
  /** 404: the Lease to replace does not exist. */
  | { type: 'gone' }
  /** No answer in time, or a failure that does not reveal the state of the Lease. */
  | { type: 'unanswered' }
  | { type: 'released' };

export type ElectionRules = {
  /** Unique among the candidates: the name of the pod. */
  identity: string;
  leaseSeconds: number;
};

export const begin: Election = {
  known: undefined,
  until: undefined,
  observed: undefined,
  wasSeen: false,
  notBefore: 0,
};

/** A holder that cannot renew stops after this share of the duration; the rest is margin. */
const holderShare = 2 / 3;
/** Renewals that begin within that share. If two of them hang, a third still has time. */
const renewalsPerShare = 4;

/** Milliseconds between two attempts. */
export function everyMsOf({ leaseSeconds }: Pick<ElectionRules, 'leaseSeconds'>): number {
  return Math.floor((leaseSeconds * 1000 * holderShare) / renewalsPerShare);
}

/** Milliseconds for which this process may still write; 0 if it does not lead. */
export function remainingMs({ until }: Election, now: Moment): number {
  if (!until) return 0;
  // The steady clock stops while the machine is paused, and the wall clock can be set. The shorter
  // time is safe.
  return Math.max(0, Math.floor(Math.min(until.steady - now.steady, until.wall - now.wall)));
}

/**
 * Share of the time that a leader has left which it gives to one request: most of it, because a
 * server may be slow; not all, so that after two requests that hang a third still has time.
 */
const requestShare = 0.6;

/** Timeout of a request in whole milliseconds, as timers want it. A candidate has no deadline. */
export function timeoutMsOf(election: Election, now: Moment, rules: ElectionRules): number {
  const left = remainingMs(election, now);
  return left > 0 ? Math.ceil(left * requestShare) : 2 * everyMsOf(rules);
}

/** The election after an event. */
export function next(
  election: Election,
  event: ElectionEvent,
  now: Moment,
  rules: ElectionRules,
): Election {
  switch (event.type) {
    case 'turn':
      // A leader knows the last version: a write by another process would cause a conflict.
      return remainingMs(election, now) > 0 ? election : { ...election, known: undefined };
    case 'read':
      return afterRead(election, event.lease, now, rules);
    case 'written':
      return afterWrite(election, event.lease, event.from, rules);
    case 'conflict':
      // The Lease must be read again. The time that was already granted stays valid.
      return { ...election, known: undefined };
    case 'gone':
      return { ...election, known: undefined, until: undefined };
    case 'unanswered':
      return election;
    case 'released':
      return { ...election, until: undefined };
  }
}

function afterRead(
  election: Election,
  lease: KubeObject | undefined,
  now: Moment,
  { identity, leaseSeconds }: ElectionRules,
): Election {
  if (!lease) {
    // The Lease was deleted. Its holder stops within one lease duration, so wait for that long
    // before leading.
    const notBefore = election.wasSeen ? now.steady + leaseSeconds * 1000 : election.notBefore;
    const absent = { known: 'none', until: undefined, observed: undefined } as const;
    return { ...election, ...absent, notBefore, wasSeen: false };
  }
  const seen = { ...election, known: lease, wasSeen: true };
  if (holderOf(lease) === identity) return seen;
  const { resourceVersion = '' } = lease.metadata;
  const isSame = election.observed?.resourceVersion === resourceVersion;
  const observed = isSame ? election.observed : { resourceVersion, since: now.steady };
  return { ...seen, until: undefined, observed };
}

function afterWrite(
  election: Election,
  lease: KubeObject,
  from: Moment,
  { leaseSeconds }: ElectionRules,
): Election {
  const grantedMs = leaseSeconds * 1000 * holderShare;
  const until = { steady: from.steady + grantedMs, wall: from.wall + grantedMs };
  const leads = from.steady >= election.notBefore;
  return { ...election, known: lease, wasSeen: true, until: leads ? until : undefined };
}

/** The request to send in this attempt, or `wait` for the next attempt. */
export function wantedOf(
  { known, observed }: Election,
  now: Moment,
  { identity, leaseSeconds }: ElectionRules,
): 'read' | 'create' | 'replace' | 'wait' {
  if (known === undefined) return 'read';
  if (known === 'none') return 'create';
  const holder = holderOf(known);
  if (!holder || holder === identity) return 'replace';
  const holderMs = ((known.spec?.leaseDurationSeconds as number) ?? leaseSeconds) * 1000;
  return observed && now.steady - observed.since > holderMs ? 'replace' : 'wait';
}

function holderOf({ spec }: KubeObject): string | undefined {
  return spec?.holderIdentity as string | undefined;
}

/** The Lease to write: renews or takes over `before`, or is new if there is no `before`. */
export function leaseOf(
  before: KubeObject | undefined,
  metadata: { name: string; namespace: string },
  { identity, leaseSeconds }: ElectionRules,
  wall: number,
): KubeObject {
  const time = new Date(wall).toISOString().replace('Z', '000Z');
  const isRenewal = before !== undefined && holderOf(before) === identity;
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: before?.metadata ?? metadata,
    spec: {
      holderIdentity: identity,
      leaseDurationSeconds: leaseSeconds,
      acquireTime: isRenewal ? before.spec?.acquireTime : time,
      renewTime: time,
      leaseTransitions: (before?.spec?.leaseTransitions ?? 0) + (isRenewal || !before ? 0 : 1),
    },
  };
}
