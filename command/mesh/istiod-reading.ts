import { type Metrics, quantileOf, readMetrics, type Sample } from './istiod.ts';

/** The metrics of an istiod, and the time that its counters and histograms cover. */
export type IstiodReading = {
  metrics: Metrics;
  /** Since it started (infinite: it does not say), or of the window between two readings. */
  seconds: number;
  /**
   * The time is the start of the istiod, in which it lists the whole cluster and every proxy comes
   * at once: durations and rates of it say nothing about later.
   */
  isStart: boolean;
};

/** So long after its start an istiod with thousands of proxies may still be busy with them. */
const startSeconds = 600;

/**
 * Seconds from a change until proxies have it, at p99: istiod counts first the wait for further
 * changes and the computing of what all pushes share (`pilot_debounce_time`), and then, from the
 * place in the queue on, the pushes (`pilot_proxy_convergence_time`). Undefined without pushes, and
 * of the start of an istiod.
 */
export function reachOf({ metrics, isStart }: IstiodReading) {
  const pushed = quantileOf(metrics, 'pilot_proxy_convergence_time', 0.99);
  if (isStart || pushed === undefined) return undefined;
  const waited = quantileOf(metrics, 'pilot_debounce_time', 0.99) ?? 0;
  return { waited, pushed, seconds: waited + pushed };
}

/** What an istiod has counted since it started. */
export function sinceStart(text: string): IstiodReading {
  const metrics = readMetrics(text);
  const [uptime] = metrics.get('istiod_uptime_seconds') ?? [];
  const seconds = uptime?.value ?? Number.POSITIVE_INFINITY;
  return { metrics, seconds, isStart: seconds < startSeconds };
}

/**
 * What an istiod counted between two readings: counters and histograms are those of the window,
 * gauges those of its end. An istiod that restarted in between counts from its start.
 */
export function between(earlier: string, later: string): IstiodReading {
  const [before, after] = [sinceStart(earlier), sinceStart(later)];
  if (after.seconds < before.seconds) return after;
  const counts = countsIn(later);
  const metrics = new Map(
    [...after.metrics].map(([name, samples]): [string, readonly Sample[]] => {
      if (!counts(name)) return [name, samples];
      const known = new Map(before.metrics.get(name)?.map((each) => [keyOf(each), each.value]));
      return [
        name,
        samples.map((each) => ({ ...each, value: each.value - (known.get(keyOf(each)) ?? 0) })),
      ];
    }),
  );
  return { metrics, seconds: after.seconds - before.seconds, isStart: false };
}

const keyOf = ({ labels }: Sample) => JSON.stringify(Object.entries(labels).sort());

/** Whether the samples of a name are counts that only rise, by the types that the text gives. */
function countsIn(text: string): (name: string) => boolean {
  const types = new Map(
    [...text.matchAll(/^# TYPE (\S+) (\w+)$/gm)].map(([, name = '', type = '']) => [name, type]),
  );
  return (name) =>
    types.get(name) === 'counter' ||
    types.get(name.replace(/_(bucket|count|sum)$/, '')) === 'histogram';
}
