/** How often a workload called a host, and when; milliseconds since the epoch. */
export type Seen = { count: number; first: number | undefined; last: number | undefined };

/** Calls as one source has them. */
export type Sightings = {
  source: 'logs' | 'metrics';
  /** By caller, `namespace/name` of a pod or a workload, then by host. */
  byCaller: ReadonlyMap<string, ReadonlyMap<string, Seen>>;
  /** The time that the source covers; undefined: it has no times. */
  first: number | undefined;
  last: number | undefined;
};

/** What no reader of a source can know, as comments say it. */
export const blindSpots: Record<Sightings['source'], readonly string[]> = {
  logs: [
    'Logs do not have: calls outside of that window, connections that are still open, and workloads',
    'that log nothing or a sample only.',
  ],
  metrics: [
    'Metrics do not have: calls outside of that window, calls that bypass the sidecar, connections',
    'that carried nothing, and workloads that are not scraped or report no source metrics.',
  ],
};

export type Confidence = 'low' | 'medium' | 'high';

const dayMs = 86_400_000;

/** By the longest window: a day has the nightly jobs, a week those of the weekend. */
export function confidenceOf(sources: readonly Pick<Sightings, 'first' | 'last'>[]): Confidence {
  const window = Math.max(
    0,
    ...sources.map(({ first, last }) =>
      first === undefined || last === undefined ? 0 : last - first,
    ),
  );
  return window < dayMs ? 'low' : window < 7 * dayMs ? 'medium' : 'high';
}

/** The sum of what was seen of one host. */
export function together(a: Seen | undefined, b: Seen): Seen {
  return {
    count: b.count + (a?.count ?? 0),
    first: least(a?.first, b.first),
    last: most(a?.last, b.last),
  };
}

const least = (a: number | undefined, b: number | undefined) =>
  a === undefined ? b : Math.min(a, b ?? a);
const most = (a: number | undefined, b: number | undefined) =>
  a === undefined ? b : Math.max(a, b ?? a);
