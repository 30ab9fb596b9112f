/** The size of a sidecar's configuration, and its memory in bytes as Envoy reports it. */
export type ProxySummary = { allocatedBytes: number; physicalBytes: number; clusters: number };
export type ProxyFigures = ProxySummary & { configBytes: number };

/** GET on the Envoy admin of one sidecar. */
type Admin = (path: string) => Promise<string>;

/** The figures that are cheap for Envoy to report. */
export async function proxySummary(admin: Admin): Promise<ProxySummary> {
  const memory = JSON.parse(await admin('/memory')) as Record<string, string>;
  const stats = await admin('/stats?filter=^cluster_manager.active_clusters$');
  return {
    allocatedBytes: Number(memory.allocated),
    physicalBytes: Number(memory.total_physical_bytes),
    clusters: Number(stats.split(':').at(-1)),
  };
}

/**
 * All figures. The configuration is dumped and counted last, because a dump itself takes as much
 * memory as the configuration.
 */
export async function proxyFigures(admin: Admin): Promise<ProxyFigures> {
  const summary = await proxySummary(admin);
  return { ...summary, configBytes: Buffer.byteLength(await admin('/config_dump?include_eds')) };
}
