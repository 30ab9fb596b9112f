import type { EnvoyProcess } from '../embedded/envoy-process.ts';

/** What a proxy takes, as its admin port tells. */
export type Memory = { allocatedBytes: number; physicalBytes: number; clusters: number };
export type Figures = Memory & { configBytes: number };

export async function memoryOf({ admin }: EnvoyProcess): Promise<Memory> {
  const memory = JSON.parse(await admin('/memory')) as Record<string, string>;
  const stats = await admin('/stats?filter=^cluster_manager\\.active_clusters$');
  return {
    allocatedBytes: Number(memory.allocated),
    physicalBytes: Number(memory.total_physical_bytes),
    clusters: Number(stats.split(':').at(-1)),
  };
}

/** The memory before the dump: making one takes as much again. */
export async function figuresOf(envoy: EnvoyProcess): Promise<Figures> {
  const memory = await memoryOf(envoy);
  const dump = await envoy.admin('/config_dump?include_eds');
  return { ...memory, configBytes: Buffer.byteLength(dump) };
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
