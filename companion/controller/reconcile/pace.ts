import { pauseOf } from '../../bounds/backoff.ts';

/**
 * When to look at what. A workload that needs something new is looked at at once; every other
 * change waits until a second after its last write, and all writes together keep to a rate, because
 * each Sidecar written makes istiod look at every proxy again.
 */
export type Pace = {
  /** Marks a key; `urgent` skips the pause of that key, not the rate over all. */
  mark(key: string, urgent: boolean): void;
  pending(): number;
  stop(): Promise<void>;
};

export type PaceOptions = {
  /** Does the work; says whether it wrote. Never called twice at once for a key. */
  run(key: string): Promise<'wrote' | 'nothing'>;
  writesPerSecond: number;
  /** Pause after a write of a key, for marks that are not urgent. */
  pauseMs: number;
  /** A mark found no token left. */
  onThrottled(): void;
  /** The work of a key failed; it is tried again by itself. */
  onFailed(key: string, error: unknown): void;
};

type Entry = {
  urgent: boolean;
  marked: boolean;
  running: boolean;
  notBefore: number;
  failures: number;
};

/**
 * Pause after a failure of a key, doubled up to the limit while it goes on failing. The limit is short,
 * because somebody may wait for the write when the API server is back; all attempts together are held to
 * the rate of writes.
 */
const retryMs = { from: 500, to: 5_000 };

/** Works in flight at most: enough to keep the API server busy at its usual few milliseconds. */
const parallelMax = 8;

export function createPace(options: PaceOptions): Pace {
  const { run, writesPerSecond, pauseMs, onThrottled, onFailed } = options;
  const entries = new Map<string, Entry>();
  const running = new Set<Promise<void>>();
  // One second's worth may go at once: a namespace is enabled in one go.
  let tokens = writesPerSecond;
  let filledAt = performance.now();
  let timer: NodeJS.Timeout | undefined;
  let soon: NodeJS.Immediate | undefined;
  let stopped = false;

  function refill(now: number): void {
    tokens = Math.min(writesPerSecond, tokens + ((now - filledAt) / 1000) * writesPerSecond);
    filledAt = now;
  }

  function pump(): void {
    if (stopped) return;
    clearTimeout(timer);
    clearImmediate(soon);
    soon = undefined;
    const now = performance.now();
    refill(now);
    let wakeAt = Number.POSITIVE_INFINITY;
    for (const [key, entry] of byUrgency(entries)) {
      if (entry.running) continue;
      if (!entry.marked) {
        if (entry.notBefore <= now) entries.delete(key);
        continue;
      }
      // After a failure nothing is urgent: the API server may be what is in trouble.
      const dueAt = entry.urgent && entry.failures === 0 ? 0 : entry.notBefore;
      if (dueAt > now) {
        wakeAt = Math.min(wakeAt, dueAt);
        continue;
      }
      if (running.size >= parallelMax) return;
      if (tokens < 1) {
        onThrottled();
        wakeAt = Math.min(wakeAt, now + ((1 - tokens) / writesPerSecond) * 1000);
        break;
      }
      start(key, entry);
    }
    if (wakeAt < Number.POSITIVE_INFINITY) {
      timer = setTimeout(pump, Math.max(1, wakeAt - now));
    }
  }

  function start(key: string, entry: Entry): void {
    Object.assign(entry, { marked: false, urgent: false, running: true });
    // Taken before, given back if nothing was written, so that parallel works cannot overdraw.
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
        entry.marked = true;
      })
      .finally(() => {
        entry.running = false;
        running.delete(work);
        pump();
      });
    running.add(work);
  }

  return {
    mark(key, urgent) {
      if (stopped) return;
      const entry = entries.get(key) ?? {
        urgent: false,
        marked: false,
        running: false,
        notBefore: 0,
        failures: 0,
      };
      entry.marked = true;
      entry.urgent ||= urgent;
      entries.set(key, entry);
      // Not in this turn: the answer that a first call waits for goes out before the look at its
      // scope, and many marks at once, as in a pass over everything, are one walk over the entries.
      if (!entry.running) soon ??= setImmediate(pump);
    },
    pending: () => [...entries.values()].filter(({ marked }) => marked).length,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      clearImmediate(soon);
      await Promise.allSettled(running);
    },
  };
}

function* byUrgency(entries: Map<string, Entry>): Generator<[string, Entry]> {
  for (const each of entries) if (each[1].urgent) yield each;
  for (const each of entries) if (!each[1].urgent) yield each;
}
