import { type Seen, type Sightings, together } from './sightings.ts';

/** Calls from the standard metrics of Istio, as Prometheus has them. */

/** Asks Prometheus for an instant vector. */
export type Ask = (query: string) => Promise<readonly Sample[]>;
export type Sample = { metric: Readonly<Record<string, string>>; value: number };

export type MetricsRange = {
  rangeMs: number;
  /** Callers of one namespace; undefined: all. */
  namespace: string | undefined;
  /** Further label matchers, for a Prometheus of several meshes: `cluster="east"`. */
  matchers: string;
};

/**
 * Reports of the caller's own sidecar. Bytes show connections that were open before the range:
 * sidecars report them every 15 s, long before a connection ends.
 */
const metrics = [
  { name: 'istio_requests_total', counts: true },
  { name: 'istio_tcp_connections_opened_total', counts: true },
  { name: 'istio_tcp_sent_bytes_total', counts: false },
  { name: 'istio_tcp_received_bytes_total', counts: false },
] as const;

const caller = 'source_workload_namespace, source_workload, destination_service';

/** Two scrapes of a minute must be in each step, and 168 are the hours of a week. */
const stepMsMin = 300_000;
const steps = 168;

/** Times are exact to a step: an hour for a week. */
export function stepMsOf(rangeMs: number): number {
  return Math.max(stepMsMin, Math.ceil(rangeMs / steps / 60_000) * 60_000);
}

/**
 * What each caller did in each step. `increase` alone would miss a first call: the counter of a
 * new pair appears with its first value, and an increase needs two. So series that were not there
 * a step before count with their value.
 */
function stepsQuery(name: string, { rangeMs, namespace, matchers }: MetricsRange): string {
  const step = `${stepMsOf(rangeMs) / 1000}s`;
  const labels = [
    'reporter="source"',
    ...(namespace === undefined ? [] : [`source_workload_namespace=${JSON.stringify(namespace)}`]),
    ...(matchers === '' ? [] : [matchers]),
  ].join(',');
  const series = `${name}{${labels}}`;
  const born = `last_over_time(${series}[${step}]) unless last_over_time(${series}[${step}] offset ${step})`;
  return `sum by (${caller}) ((${born}) or increase(${series}[${step}])) > 0`;
}

function queriesOf(name: string, range: MetricsRange) {
  const each = stepsQuery(name, range);
  const window = `[${range.rangeMs / 1000}s:${stepMsOf(range.rangeMs) / 1000}s]`;
  return {
    count: `sum_over_time((${each})${window})`,
    first: `min_over_time(((${each}) * 0 + time())${window})`,
    last: `max_over_time(((${each}) * 0 + time())${window})`,
  };
}

export type MetricSightings = Sightings & {
  /** Calls to hosts that the mesh does not know. */
  unknown: number;
  /** Calls of proxies that do not know their workload. */
  nameless: number;
};

/** Reads all callers; throws what `ask` throws. */
export async function sightingsIn(ask: Ask, range: MetricsRange): Promise<MetricSightings> {
  const byCaller = new Map<string, Map<string, Seen>>();
  const found = { unknown: 0, nameless: 0 };
  for (const { name, counts } of metrics) {
    const queries = queriesOf(name, range);
    // One after the other: each of them reads the same series.
    const count = await ask(queries.count);
    if (count.length === 0) continue;
    const firsts = byLabels(await ask(queries.first));
    const lasts = byLabels(await ask(queries.last));
    for (const { metric, value } of count) {
      const { source_workload: workload, destination_service: host } = metric;
      const calls = counts ? Math.max(1, Math.round(value)) : 0;
      if (!isKnown(workload)) found.nameless += calls;
      else if (!isKnown(host)) found.unknown += calls;
      else {
        const key = `${metric.source_workload_namespace}/${workload}`;
        const hosts = byCaller.get(key) ?? new Map<string, Seen>();
        byCaller.set(key, hosts);
        const at = keyOf(metric);
        const ms = (seconds: number | undefined) => seconds && seconds * 1000;
        const seen = { count: calls, first: ms(firsts.get(at)), last: ms(lasts.get(at)) };
        const known = hostOf(host);
        hosts.set(known, together(hosts.get(known), seen));
      }
    }
  }
  const all = [...byCaller.values()].flatMap((hosts) => [...hosts.values()]);
  return {
    ...{ source: 'metrics', byCaller, ...found },
    first: edgeOf(Math.min, all, ({ first }) => first),
    last: edgeOf(Math.max, all, ({ last }) => last),
  };
}

function edgeOf(
  pick: (...values: number[]) => number,
  all: readonly Seen[],
  of: (seen: Seen) => number | undefined,
): number | undefined {
  const times = all.flatMap((seen) => of(seen) ?? []);
  return times.length === 0 ? undefined : times.reduce((a, b) => pick(a, b));
}

const byLabels = (samples: readonly Sample[]) =>
  new Map(samples.map(({ metric, value }) => [keyOf(metric), value]));

function keyOf(metric: Sample['metric']): string {
  const { source_workload_namespace, source_workload, destination_service } = metric;
  return `${source_workload_namespace}/${source_workload}/${destination_service}`;
}

/** Istio writes `unknown` where it knows nothing. */
function isKnown(value: string | undefined): value is string {
  return value !== undefined && value !== '' && value !== 'unknown';
}

/** A host of a call that no route took may have the port that the app wrote. */
function hostOf(service: string): string {
  return service.toLowerCase().replace(/:\d+$/, '');
}
