import { pauseOf } from '../../bounds/backoff.ts';
import { createHeap } from '../../bounds/heap.ts';

/**
 * When to reconcile which key. A workload that needs something new is reconciled at once; every
 * other change waits until a second after its last write. All writes together keep to a rate,
 * because each written Sidecar makes istiod process every proxy again.
 */
export type Pace = {
  /**
   * Marks a key; `urgent` skips the pause of that key, but not the overall rate. It is due after
   * `afterMs` milliseconds, 0 if absent.
   */
  mark(key: string, urgent: boolean, afterMs?: number): void;
  pending(): number;
  stop(): Promise<void>;
};

export type PaceOptions = {
  /** Does the work; returns whether it wrote. Never called twice at once for a key. */
  run(key: string): Promise<'wrote' | 'nothing'>;
  writesPerSecond: number;
  /** Pause after a write of a key, for marks that are not urgent. */
  pauseMs: number;
  /** A mark found no token left. */
  onThrottled(): void;
  /** The work of a key failed; it is retried automatically. */
  onFailed(key: string, error: unknown): void;
};

type Entry = {
  urgent: boolean;
  /** When an urgent entry is due. */
  urgentFrom: number;
  marked: boolean;
  running: boolean;
  notBefore: number;
  failures: number;
};

/**
 * Pause after a failure of a key; doubles up to the limit with each further failure. The limit is
 * short, because a first call may be waiting when the API server returns. All attempts together
 * keep to the rate of writes.
 */
const retryMs = { from: 500, to: 5_000 };

/**
 * The most work in one turn of the event loop, in milliseconds. The same thread answers first
 * calls, for which a node waits at most 150 ms; work that writes nothing would never give way.
 */
const turnMs = 5;

/** Most work in flight: enough to keep the API server busy at its usual few milliseconds. */
const parallelMax = 8;

/** After a failure nothing is urgent, because the API server may be the cause. */
const isUrgentNow = (entry: Entry) => entry.urgent && entry.failures === 0;

const dueAt = (entry: Entry) => (isUrgentNow(entry) ? entry.urgentFrom : entry.notBefore);

export function createPace(options: PaceOptions): Pace {
  const { run, writesPerSecond, pauseMs, onThrottled, onFailed } = options;
  const entries = new Map<string, Entry>();
  // Each marked entry is in one of these, or is running; due entries are found without visiting the
  // others.
  const ready = { urgent: new Set<string>(), usual: new Set<string>() };
  const later = createHeap<string>();
  const running = new Set<Promise<void>>();
  let marked = 0;
  // One second's worth may start at once, because a namespace is enabled as a whole.
  let tokens = writesPerSecond;
  let filledAt = performance.now();
  let timer: NodeJS.Timeout | undefined;
  let soon: NodeJS.Immediate | undefined;
  let turnAt = 0;
  let stopped = false;

  function refill(now: number): void {
    tokens = Math.min(writesPerSecond, tokens + ((now - filledAt) / 1000) * writesPerSecond);
    filledAt = now;
  }

  function setMarked(entry: Entry, isMarked: boolean): void {
    marked += Number(isMarked) - Number(entry.marked);
    entry.marked = isMarked;
  }

  /** Puts an entry where it is found when it is due. */
  function place(key: string, entry: Entry, now: number): void {
    const isUrgent = isUrgentNow(entry);
    if (dueAt(entry) > now) {
      later.add(dueAt(entry), key);
      return;
    }
    ready[isUrgent ? 'usual' : 'urgent'].delete(key);
    ready[isUrgent ? 'urgent' : 'usual'].add(key);
  }

  /** Due entries become ready; entries that were not marked meanwhile are dropped. */
  function ripen(now: number): void {
    while (later.nextAt() <= now) {
      const key = later.take() ?? '';
      const entry = entries.get(key);
      // The entry was placed again meanwhile, or is running.
      if (!entry || entry.running || dueAt(entry) > now) continue;
      if (entry.marked) place(key, entry, now);
      else entries.delete(key);
    }
  }

  function pumpInTurn(): void {
    turnAt = performance.now();
    pump();
  }

  function pump(): void {
    if (stopped) return;
    clearTimeout(timer);
    clearImmediate(soon);
    soon = undefined;
    const now = performance.now();
    if (now - turnAt > turnMs) {
      soon = setImmediate(pumpInTurn);
      return;
    }
    refill(now);
    ripen(now);
    let wakeAt = later.nextAt();
    while (running.size < parallelMax) {
      const [key] = ready.urgent.size > 0 ? ready.urgent : ready.usual;
      const entry = key === undefined ? undefined : entries.get(key);
      if (key === undefined || !entry) break;
      if (tokens < 1) {
        onThrottled();
        wakeAt = Math.min(wakeAt, now + ((1 - tokens) / writesPerSecond) * 1000);
        break;
      }
      start(key, entry);
    }
    if (wakeAt < Number.POSITIVE_INFINITY) {
      timer = setTimeout(pumpInTurn, Math.max(1, wakeAt - now));
    }
  }

  function start(key: string, entry: Entry): void {
    ready.urgent.delete(key);
    ready.usual.delete(key);
    setMarked(entry, false);
    entry.urgentFrom = Number.POSITIVE_INFINITY;
    Object.assign(entry, { urgent: false, running: true });
    // Taken before the work, returned if nothing was written, so that parallel work cannot
    // overdraw.
    tokens -= 1;
    const work = run(key)
      .then((outcome) => {
        entry.failures = 0;
        if (outcome === 'wrote') entry.notBefore = performance.now() + pauseMs;
        else tokens = Math.min(writesPerSecond, tokens + 1);
      })
      .catch((error: unknown) => {
        onFailed(key, error);
        entry.notBefore = performance.now() + pauseOf(entry.failures, retryMs);
        entry.failures += 1;
        setMarked(entry, true);
      })
      .finally(() => {
        entry.running = false;
        running.delete(work);
        const now = performance.now();
        if (entry.marked) place(key, entry, now);
        else if (entry.notBefore > now) later.add(entry.notBefore, key);
        else entries.delete(key);
        pump();
      });
    running.add(work);
  }

  return {
    mark(key, urgent, afterMs = 0) {
      if (stopped) return;
      const entry = entries.get(key) ?? {
        ...{ urgent: false, urgentFrom: Number.POSITIVE_INFINITY, marked: false, running: false },
        ...{ notBefore: 0, failures: 0 },
      };
      const now = performance.now();
      const isSooner = urgent && now + afterMs < entry.urgentFrom;
      const isNews = !entry.marked || isSooner;
      setMarked(entry, true);
      entry.urgent ||= urgent;
      if (isSooner) entry.urgentFrom = now + afterMs;
      entries.set(key, entry);
      if (entry.running || !isNews) return;
      place(key, entry, now);
      // Not in this turn of the event loop: the answer to a first call goes out before its scope is
      // reconciled, and many marks at once, as in a pass over everything, take one walk over the
      // entries.
      soon ??= setImmediate(pumpInTurn);
    },
    pending: () => marked,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      clearImmediate(soon);
      await Promise.allSettled(running);
    },
  };
}
