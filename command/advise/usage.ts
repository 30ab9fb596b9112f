import type { KubeObject } from '../../companion/kube/object.ts';
import type { Ask } from '../core/istio-metrics.ts';
import { proxyIn } from '../core/proxy-container.ts';
import { readQuantity } from '../core/quantity.ts';
import { readMetrics } from '../mesh/istiod.ts';

/** What sidecars use: Istio's container as a whole, so Envoy and its agent together. */

/** Bytes and cores of one container over a window. */
export type Usage = { memoryP95: number; memoryMax: number; cpuP95: number; cpuMax: number };

/** By `namespace/pod`. */
export type UsageOf = (rangeMs: number) => Promise<ReadonlyMap<string, Usage>>;

/** From a Prometheus with what the kubelets' cAdvisor counts. */
export function createUsage(ask: Ask, matchers: string): UsageOf {
  const known = new Map<number, ReturnType<UsageOf>>();
  const labels = `{container="istio-proxy"${matchers === '' ? '' : `,${matchers}`}}`;
  const memory = `container_memory_working_set_bytes${labels}`;
  const cpu = `sum by (namespace, pod) (rate(container_cpu_usage_seconds_total${labels}[5m]))`;
  async function read(rangeMs: number): ReturnType<UsageOf> {
    const range = `${Math.round(rangeMs / 1000)}s`;
    const queries: Record<keyof Usage, string> = {
      memoryP95: `max by (namespace, pod) (quantile_over_time(0.95, ${memory}[${range}]))`,
      memoryMax: `max by (namespace, pod) (max_over_time(${memory}[${range}]))`,
      cpuP95: `quantile_over_time(0.95, (${cpu})[${range}:5m])`,
      cpuMax: `max_over_time((${cpu})[${range}:5m])`,
    };
    const found = new Map<string, Usage>();
    for (const [key, query] of Object.entries(queries))
      for (const { metric, value } of await ask(query)) {
        const pod = `${metric.namespace}/${metric.pod}`;
        const empty = { memoryP95: 0, memoryMax: 0, cpuP95: 0, cpuMax: 0 };
        found.set(pod, { ...empty, ...found.get(pod), [key]: value });
      }
    return found;
  }
  return (rangeMs) => {
    const found = known.get(rangeMs) ?? read(rangeMs);
    known.set(rangeMs, found);
    return found;
  };
}

/** A sidecar at one moment: what it has used since it started, or what it uses now. */
export type Moment = {
  /** Milliseconds since the epoch, by the clock of the kubelet or metrics API. */
  at: number;
  /** The working set in bytes. */
  memory: number;
  cpuSeconds?: number;
  cores?: number;
};

/** By `namespace/pod`. */
export type Reading = ReadonlyMap<string, Moment>;

/**
 * The sidecars in what a kubelet answers at /metrics/resource, from which metrics-server reads too.
 * A kubelet measures every few seconds, and says when; `now` is for one that does not.
 */
export function kubeletReading(text: string, now: number): Reading {
  const metrics = readMetrics(text);
  const found = new Map<string, Moment>();
  const keys = [
    ['memory', 'container_memory_working_set_bytes'],
    ['cpuSeconds', 'container_cpu_usage_seconds_total'],
  ] as const;
  for (const [key, name] of keys)
    for (const { labels, value, at = now } of metrics.get(name) ?? []) {
      if (labels.container !== 'istio-proxy') continue;
      const pod = `${labels.namespace}/${labels.pod}`;
      found.set(pod, { memory: 0, ...found.get(pod), at, [key]: value });
    }
  return found;
}

/** The sidecars in PodMetrics, which a metrics API serves. */
export function metricsApiReading(objects: readonly KubeObject[]): Reading {
  type Container = { name: string; usage?: { cpu?: string; memory?: string } };
  const found = new Map<string, Moment>();
  for (const { metadata, ...rest } of objects) {
    const { containers, timestamp } = rest as { containers?: Container[]; timestamp?: string };
    const { usage } = proxyIn<Container>(containers) ?? {};
    const [memory, cores] = [readQuantity(usage?.memory), readQuantity(usage?.cpu)];
    if (memory === undefined || cores === undefined) continue;
    const at = Date.parse(timestamp ?? '') || 0;
    found.set(`${metadata.namespace}/${metadata.name}`, { at, memory, cores });
  }
  return found;
}

/** The same as PodMetrics, for what looks at these. */
export function podMetrics(reading: Reading): KubeObject[] {
  return [...reading].map(([pod, { memory }]) => {
    const [namespace = '', name = ''] = pod.split('/');
    return {
      ...{
        apiVersion: 'metrics.k8s.io/v1beta1',
        kind: 'PodMetrics',
        metadata: { namespace, name },
      },
      containers: [{ name: 'istio-proxy', usage: { memory: String(memory) } }],
    };
  });
}

/** What was used over readings in their order; a sidecar whose CPU is not known is left out. */
export function usageOver(readings: readonly Reading[]): Map<string, Usage> {
  const moments = new Map<string, Moment[]>();
  for (const reading of readings)
    for (const [pod, moment] of reading) {
      const known = moments.get(pod) ?? [];
      // A kubelet that has not measured since then answers the same again.
      if (known.at(-1)?.at !== moment.at || known.length === 0) known.push(moment);
      moments.set(pod, known);
    }
  const found = new Map<string, Usage>();
  for (const [pod, series] of moments) {
    const cores = coresIn(series);
    if (cores.length === 0) continue;
    const memory = series.map((each) => each.memory);
    found.set(pod, {
      ...{ memoryP95: p95(memory), memoryMax: Math.max(...memory) },
      ...{ cpuP95: p95(cores), cpuMax: Math.max(...cores) },
    });
  }
  return found;
}

/** Counters start anew with their container: such a step says nothing. */
function coresIn(series: readonly Moment[]): number[] {
  return series.flatMap(({ at, cpuSeconds = 0, cores }, index) => {
    if (cores !== undefined) return cores;
    const before = series[index - 1];
    const used = cpuSeconds - (before?.cpuSeconds ?? 0);
    return before && used >= 0 && at > before.at ? (1_000 * used) / (at - before.at) : [];
  });
}

function p95(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(0.95 * sorted.length) - 1] ?? 0;
}
