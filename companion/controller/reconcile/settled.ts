import { conditionIn, timeIn } from '../../core/scope/condition.ts';
import { liveMs, type ProxyCount } from '../../core/scope/proxies.ts';
import type { Workload } from '../../core/scope/workload.ts';
import type { ScopeRecord } from '../../core/scope/workload-scope.ts';
import type { LookOptions } from './inputs.ts';
import type { Look } from './record.ts';

/**
 * The workloads whose last evaluation found nothing to do, and for how long that holds. A pass over
 * everything skips them. Events that concern a workload mark it by themselves; this knows what
 * comes with time, and the Services that changed.
 */
export type Settled = {
  /** An evaluation begins; returns what `note` needs to know. */
  begin(key: string): number;
  /** The evaluation that began at `version` found nothing to do. */
  note(look: Look, version: number): void;
  /** The same for the recorded scope of a workload that is gone. */
  noteGone(scope: ScopeRecord): void;
  /** Whether the next evaluation would find nothing to do, too. */
  holds(namespace: string, name: string, workload: Workload | undefined): boolean;
};

type Entry = {
  workload: Workload | undefined;
  scope: ScopeRecord;
  revisions: readonly string[];
  version: number;
  /** Milliseconds since the epoch from which on the time itself may change something. */
  until: number;
  proxies: string;
  /** Until when the count of proxies cannot change, because each has reported. */
  proxiesUntil: number;
};

/**
 * Everything is evaluated again after so long, in case an event was lost. Evaluations that happened
 * together are spread over the second half of it.
 */
const wholeMs = 600_000;
/** Multiples of the golden ratio are spread evenly between whole numbers. */
const goldenRatio = 1.618_033_988_75;
/**
 * Figures of proxies must be newer than a scope that came into force or went
 * (core/scope/figures.ts), and node companions read them once a minute.
 */
const figuresMs = 120_000;

export function createSettled({ state, life, now }: LookOptions): Settled {
  const { catalog, scopes, proxies: table } = state;
  const entries = new Map<string, Entry>();
  let count = 0;

  function settle(entry: Entry): void {
    if (entry.until <= now()) return;
    count += 1;
    const wholeUntil = now() + wholeMs * (1 - ((count * goldenRatio) % 1) / 2);
    const { namespace, name } = entry.scope;
    entries.set(`${namespace}/${name}`, { ...entry, until: Math.min(entry.until, wholeUntil) });
  }

  /** Whether the proxies still count as they did; the count is made anew where it may differ. */
  function haveSameProxies(entry: Entry): boolean {
    if (!entry.workload || now() < entry.proxiesUntil) return true;
    const proxies = table.count(entry.workload.pods, now());
    if (textOf(proxies, life.silenceMs) !== entry.proxies) return false;
    entry.proxiesUntil = liveUntil(proxies, now());
    return true;
  }

  return {
    begin(key) {
      entries.delete(key);
      catalog.capturedServices();
      return catalog.serviceChanges.version();
    },
    note(look, version) {
      const { workload, proxies } = look;
      const scope = scopes.get(workload.namespace, workload.name);
      if (!scope) return;
      settle({
        ...{ workload, scope, version },
        revisions: catalog.revisionsIn(workload.namespace),
        until: timeUntil(look, scope, life.ttlMs, life.learningWindowMs, now()),
        proxies: textOf(proxies, life.silenceMs),
        proxiesUntil: liveUntil(proxies, now()),
      });
    },
    noteGone(scope) {
      const since = timeIn(scope.status?.goneSince);
      // Until it is recorded that the workload is gone, every pass has a look at it.
      if (since === undefined) return;
      const until = since + (scope.ttlMs ?? life.ttlMs);
      const never = { version: 0, revisions: [], proxies: '', proxiesUntil: 0 };
      settle({ ...never, workload: undefined, scope, until });
    },
    holds(namespace, name, workload) {
      const entry = entries.get(`${namespace}/${name}`);
      if (!entry || entry.until <= now()) return false;
      if (entry.workload !== workload || entry.scope !== scopes.get(namespace, name)) return false;
      if (!workload) return true;
      // Its scope depends on the servers of every Service (core/scope/blind.ts).
      if (state.installedFilter.blindCalls(namespace)) return false;
      // Looks at what pods of the ambient mesh have changed.
      catalog.capturedServices();
      if (!isSame(entry.revisions, catalog.revisionsIn(namespace))) return false;
      return !haveOtherServices(entry) && haveSameProxies(entry);
    },
  };

  function haveOtherServices({ version, scope, workload }: Entry): boolean {
    return catalog.serviceChanges.mayConcern(version, namesOf(scope, workload));
  }
}

function* namesOf({ status }: ScopeRecord, workload: Workload | undefined): Generator<string> {
  for (const { host } of status?.hosts ?? []) yield host;
  for (const { ips } of workload?.pods ?? []) yield* ips;
}

/** What decisions read of the count, apart from the times in messages. */
function textOf(proxies: ProxyCount, silenceMs: number): string {
  const { total, live, lost, unmeasured, isDeaf, silentMs, judgedMs, quorumMs } = proxies;
  const silent = [silentMs > liveMs, ...[silentMs, judgedMs, quorumMs].map((ms) => ms > silenceMs)];
  return [total, live, lost, unmeasured, isDeaf, ...silent].join();
}

/** A proxy may count as silent from then on; a count with silent proxies may change at any time. */
function liveUntil({ total, live, lost, silentMs }: ProxyCount, now: number): number {
  return live === total && lost === 0 ? now + liveMs - silentMs : 0;
}

/** When a host may expire or age, or the learning window ends; 0: something is unfinished. */
function timeUntil(
  { hosts, verdict, watched }: Look,
  { status, ttlMs: own }: ScopeRecord,
  usualTtlMs: number,
  learningWindowMs: number,
  now: number,
): number {
  const since = timeIn(conditionIn(status, 'Scoped')?.lastTransitionTime) ?? now;
  const isUnfinished = verdict.kept > 0 || verdict.expired.length > 0;
  if (isUnfinished || now - since < figuresMs) return 0;
  const ttlMs = own ?? usualTtlMs;
  let until = Number.POSITIVE_INFINITY;
  const earliest = (at: number) => {
    if (at > now) until = Math.min(until, at);
  };
  earliest((watched.learningSince ?? now) + learningWindowMs);
  for (const { edge, reason } of hosts) {
    if (!edge || reason !== 'learned') continue;
    if (now - edge.lastSeen > ttlMs) return 0;
    earliest(edge.lastSeen + ttlMs / 2 + 1);
    earliest(edge.lastSeen + ttlMs + 1);
  }
  return until;
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return (
    one === other || (one.length === other.length && one.every((each, i) => each === other[i]))
  );
}
