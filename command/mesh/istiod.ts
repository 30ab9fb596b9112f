import type { KubeObject } from '../../companion/kube/object.ts';

/** Facts about an istiod: its settings, its version, and the metrics that it exports. */

export type Sample = {
  labels: Readonly<Record<string, string>>;
  value: number;
  /** Milliseconds since the epoch, if the sample has a time. */
  at?: number;
};

/** By the name of the metric as istiod writes it, `NAME_bucket` and `NAME_count` included. */
export type Metrics = ReadonlyMap<string, readonly Sample[]>;

/** Port of `/metrics` and `/version`, which need no login. */
export const metricsPort = 15014;

type Container = {
  name: string;
  image?: string;
  env?: { name: string; value?: string }[];
  resources?: { requests?: Record<string, string>; limits?: Record<string, string> };
};

/** The container of istiod in its Deployment or pod; undefined if it has another name. */
export function discoveryContainer({ spec }: KubeObject): Container | undefined {
  const containers = (spec?.template?.spec?.containers ?? spec?.containers ?? []) as Container[];
  return containers.find(({ name }) => name === 'discovery');
}

/** Variables with a literal value; those that come from a reference are not known here. */
export function environmentOf(istiod: KubeObject): Map<string, string> {
  const env = discoveryContainer(istiod)?.env ?? [];
  return new Map(env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]])));
}

/** Booleans as istiod reads them (strconv.ParseBool of Go). */
export const isFalse = (value: string) => ['false', '0', 'f'].includes(value.toLowerCase());
export const isTrue = (value: string) => ['true', '1', 't'].includes(value.toLowerCase());

export type Version = { major: number; minor: number; patch: number };

/** By the tag of an image, such as `docker.io/istio/pilot:1.30.2-distroless`. */
export function versionIn(image: string | undefined): Version | undefined {
  const [, major, minor, patch] = /:v?(\d+)\.(\d+)(?:\.(\d+))?[^/]*$/.exec(image ?? '') ?? [];
  if (major === undefined) return undefined;
  return { major: Number(major), minor: Number(minor), patch: Number(patch ?? 0) };
}

/** Negative: `a` is older than `b`. */
export function compareVersions(a: Version, b: Version): number {
  return a.major - b.major || a.minor - b.minor || a.patch - b.patch;
}

/** Milliseconds of a duration as Go writes it, such as `1m30s` or `100ms`; undefined: none. */
export function durationIn(text: string): number | undefined {
  const units: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return undefined;
  return [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)].reduce(
    (sum, [, number, unit = '']) => sum + Number(number) * (units[unit] ?? 0),
    0,
  );
}

/** Reads the text format of Prometheus; lines that are not samples are left out. */
export function readMetrics(text: string): Metrics {
  const found = new Map<string, Sample[]>();
  for (const line of text.split('\n')) {
    const [, name, inner = '', number, time] =
      /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+(\d+)$)?/.exec(line) ?? [];
    if (name === undefined) continue;
    const labels = Object.fromEntries(
      [...inner.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)].map(([, key = '', value = '']) => [
        key,
        value.replace(/\\(.)/g, (_, each) => (each === 'n' ? '\n' : each)),
      ]),
    );
    const value = number === '+Inf' ? Number.POSITIVE_INFINITY : Number(number);
    if (Number.isNaN(value)) continue;
    const samples = found.get(name) ?? [];
    samples.push({ labels, value, ...(time !== undefined && { at: Number(time) }) });
    found.set(name, samples);
  }
  return found;
}

/** The sum over all label sets; 0 if there is no such metric. */
export function totalOf(metrics: Metrics, name: string): number {
  return (metrics.get(name) ?? []).reduce((sum, { value }) => sum + value, 0);
}

/** Sums by one label, the largest first. */
export function byLabel(metrics: Metrics, name: string, label: string): [string, number][] {
  const sums = new Map<string, number>();
  for (const { labels, value } of metrics.get(name) ?? []) {
    const key = labels[label] ?? '';
    sums.set(key, (sums.get(key) ?? 0) + value);
  }
  return [...sums].sort(([, a], [, b]) => b - a);
}

/** Cumulative counts of a histogram over all label sets, by rising bound. */
function bucketsOf(metrics: Metrics, name: string): [bound: number, count: number][] {
  return byLabel(metrics, `${name}_bucket`, 'le')
    .map(([le, count]): [number, number] => [
      le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le),
      count,
    ])
    .sort(([a], [b]) => a - b);
}

/**
 * The quantile of a histogram since istiod started, as `histogram_quantile` of Prometheus finds it:
 * linear within a bucket, and at most the largest finite bound. Undefined without observations.
 */
export function quantileOf(metrics: Metrics, name: string, quantile: number): number | undefined {
  const buckets = bucketsOf(metrics, name);
  const total = buckets.at(-1)?.[1] ?? 0;
  if (total === 0) return undefined;
  const rank = quantile * total;
  let [below, under] = [0, 0];
  for (const [bound, count] of buckets) {
    if (count >= rank) {
      if (!Number.isFinite(bound) || count === under) return below;
      return below + ((bound - below) * (rank - under)) / (count - under);
    }
    [below, under] = [bound, count];
  }
  return below;
}

/** Observations above one of the histogram's bounds, by a label. */
export function countAbove(
  metrics: Metrics,
  name: string,
  bound: number,
  label: string,
): [string, number][] {
  const totals = new Map(byLabel(metrics, `${name}_count`, label));
  const within = new Map<string, number>();
  for (const { labels, value } of metrics.get(`${name}_bucket`) ?? [])
    if (Number(labels.le) === bound) {
      const key = labels[label] ?? '';
      within.set(key, (within.get(key) ?? 0) + value);
    }
  return [...totals].flatMap(([key, total]): [string, number][] => {
    const above = total - (within.get(key) ?? total);
    return above > 0 ? [[key, above]] : [];
  });
}
