/** What a proxy takes by the number of its clusters. */

/** Bytes that Envoy has allocated: `fixed` without any cluster, and `cluster` for each. */
export type SizeModel = { fixed: number; cluster: number; from: string };

export type Size = {
  clusters: number;
  /** Allocated by Envoy; the process holds more until it gives freed pages back. */
  memoryBytes: number;
  /** Of its configuration dump, with endpoints. */
  configurationBytes: number;
};

/**
 * The line through what the benchmark of memory measured at 21 to 10,050 clusters
 * (bench/results/memory.json); bench/test/prediction.test.ts holds it to 10 % of each.
 */
export const benchmarkModel: SizeModel = {
  ...{ fixed: 7_600_000, cluster: 72_500 },
  from: 'the benchmark of Lazyscope',
};

/** From the same benchmark: bytes of a configuration dump. */
const configuration = { fixed: 165_000, cluster: 6_400 };

export function sizeOf(clusters: number, { fixed, cluster }: SizeModel): Size {
  return {
    clusters,
    memoryBytes: Math.round(fixed + clusters * cluster),
    configurationBytes: configuration.fixed + clusters * configuration.cluster,
  };
}

/** What the filter of an enabled namespace takes in each proxy (README, "What it costs"). */
const filterBytes = 3_700_000;

/** A workload with a scope: means of one proxy; 0: not measured. */
export type Measured = {
  clusters: { before: number; after: number };
  memoryBytes: { before: number; after: number };
};

/**
 * The model of a mesh by its narrowed workloads, each of which was measured twice; the medians,
 * because one busy workload must not decide. Without any, by those that were measured with full
 * configuration, which show what a cluster takes; without these, the model of the benchmark.
 */
export function modelOf(
  measured: readonly Measured[],
  from: (count: number, kind: 'narrowed' | 'observed') => string,
): SizeModel {
  const lines = measured.flatMap(({ clusters, memoryBytes }) => {
    const fewer = clusters.before - clusters.after;
    const less = memoryBytes.before - memoryBytes.after;
    if (clusters.after <= 0 || memoryBytes.after <= 0 || fewer <= 0 || less <= 0) return [];
    const cluster = less / fewer;
    return [{ cluster, fixed: Math.max(0, memoryBytes.after - cluster * clusters.after) }];
  });
  if (lines.length === 0) return modelOfFull(measured, from);
  return {
    fixed: median(lines.map(({ fixed }) => fixed)),
    cluster: median(lines.map(({ cluster }) => cluster)),
    from: from(lines.length, 'narrowed'),
  };
}

function modelOfFull(measured: readonly Measured[], from: Parameters<typeof modelOf>[1]) {
  const fixed = benchmarkModel.fixed + filterBytes;
  const sizes = measured.flatMap(({ clusters, memoryBytes }) =>
    clusters.before >= clustersMin ? Math.max(0, memoryBytes.before - fixed) / clusters.before : [],
  );
  const cluster = median(sizes.filter((each) => each > 0));
  return cluster === 0 ? benchmarkModel : { fixed, cluster, from: from(sizes.length, 'observed') };
}

/** Of fewer, what a proxy takes without any would decide. */
const clustersMin = 500;

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
