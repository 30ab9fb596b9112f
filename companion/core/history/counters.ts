import { sharedText } from '../mesh/shared-text.ts';

/**
 * Turns the cumulative counts of node companions into calls since the last report, so that a
 * repeated report adds nothing.
 */

/**
 * Counters of all proxies together: 10,000 pods, as many as the benchmark of scale has, with 50
 * destinations each. They take 41 bytes each, because proxies share the names of 10,000 hosts:
 * 20 MB in all.
 */
export const countersMax = 500_000;

/**
 * What the first reports of a replica's life say was mostly called before, so within this time
 * after its start the first report of a proxy only sets where counting begins. Node companions find
 * a new replica within 10 s.
 */
export const settlingMs = 60_000;

export type Counters = {
  /** Begins a report of a proxy; `now` in milliseconds of a clock that does not jump. */
  report(proxy: string, now: number): (destination: string, count: number) => number;
  forget(proxy: string): void;
  size(): number;
  /** Counts that were not kept for lack of room; their calls are missing from the history. */
  refused(): number;
};

export function createCounters(startedAt: number, max = countersMax): Counters {
  const proxies = new Map<string, Map<string, number>>();
  let size = 0;
  let refused = 0;
  return {
    report(proxy, now) {
      const known = proxies.get(proxy);
      const counts = known ?? new Map<string, number>();
      const onlyBegins = !known && now - startedAt < settlingMs;
      return (destination, count) => {
        const before = counts.get(destination);
        if (before === undefined) {
          if (size >= max) {
            refused += 1;
            return 0;
          }
          size += 1;
          // A proxy without any counter takes no room.
          proxies.set(proxy, counts);
        }
        counts.set(before === undefined ? sharedText(destination) : destination, count);
        if (before === undefined) return onlyBegins ? 0 : count;
        // A smaller count begins anew: the node companion counts what it heard in its own life.
        return count < before ? count : count - before;
      };
    },
    forget(proxy) {
      size -= proxies.get(proxy)?.size ?? 0;
      proxies.delete(proxy);
    },
    size: () => size,
    refused: () => refused,
  };
}
