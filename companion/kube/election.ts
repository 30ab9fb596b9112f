import type { KubeObject } from './object.ts';

/**
 * Leader election by a Lease, as client-go does it: writes carry the resource version, so that two
 * candidates cannot both win, and a holder counts as gone only after its Lease stood still for its
 * whole duration by the watcher's own clock. Clocks of two machines are never compared.
 *
 *   candidate: read -> (none) create, (free, ours or stood still) replace, (held) wait
 *   leader:    replace -> (409) read -> (ours) replace again, (another's) follow
 */

/** One moment by both clocks of this machine, in milliseconds. */
export type Moment = {
  /** Counts time alone; it stands still while a virtual machine is paused. */
  steady: number;
  /** The time of day, which somebody may set. */
  wall: number;
};

export type Election = {
  /** The Lease as it was last read or written; `none`: there is none; undefined: to be read. */
  known: KubeObject | 'none' | undefined;
  /** This process leads until then; undefined: it does not lead. */
  until: Moment | undefined;
  /** Version of the Lease that somebody else holds, and since when it is seen. */
  observed: { resourceVersion: string; since: number } | undefined;
  /** A Lease was seen: when it is gone, its holder may not know that yet. */
  wasSeen: boolean;
  /** Not before then, by the steady clock, may this process lead. */
  notBefore: number;
};

export type ElectionEvent =
  /** The next attempt begins. */
  | { type: 'turn' }
  | { type: 'read'; lease: KubeObject | undefined }
  /**
   * Created or replaced; `from`: the moment before the request, since the server may have stamped
   * it then.
   */
  | { type: 'written'; lease: KubeObject; from: Moment }
  /** Somebody wrote it since, or this process did and never got the answer (409). */
  | { type: 'conflict' }
  /** The Lease that was to be replaced is not there (404). */
  | { type: 'gone' }
  /** No answer in time, or a failure that says nothing of the Lease. */
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

/** Share of the duration after which a holder that could not renew stops; the rest is margin. */
const holderShare = 2 / 3;
/** Renewals begun within that share; two of them may hang, and the third still has its time. */
const renewalsPerShare = 4;

/** Milliseconds from one attempt to the next, and the longest that a request of one may take. */
export function everyMsOf({ leaseSeconds }: Pick<ElectionRules, 'leaseSeconds'>): number {
  return (leaseSeconds * 1000 * holderShare) / renewalsPerShare;
}

/** Milliseconds for which this process may go on writing; 0 when it does not lead. */
export function remainingMs({ until }: Election, now: Moment): number {
  if (!until) return 0;
  // A paused machine stops the steady clock, a clock that is set changes the other: the shorter is
  // safe.
  return Math.max(0, Math.floor(Math.min(until.steady - now.steady, until.wall - now.wall)));
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
      // A leader knows the last version: nobody else can have written without a conflict.
      return remainingMs(election, now) > 0 ? election : { ...election, known: undefined };
    case 'read':
      return afterRead(election, event.lease, now, rules);
    case 'written':
      return afterWrite(election, event.lease, event.from, rules);
    case 'conflict':
      // Until it is read nothing is known, and what was granted before still holds.
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
    // Somebody deleted it. Its holder stops within the duration, and must have before this one
    // leads.
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

/** What to do in an attempt: one request, or to wait for the next. */
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

/** The Lease that this process writes: `before` renewed or taken over, or a new one. */
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
