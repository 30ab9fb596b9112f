import type { ProxyStats } from '../core/scope/proxies.ts';

/** The figures of a proxy that a node companion reads, as Envoy prints them for Prometheus. */

const names = {
  envoy_server_memory_allocated: 'allocatedBytes',
  envoy_server_memory_physical_size: 'physicalBytes',
  envoy_cluster_manager_active_clusters: 'clusters',
} as const satisfies Record<string, keyof ProxyStats>;
export const statsPath = `/stats/prometheus?filter=${encodeURIComponent(
  '^(server\\.memory_(allocated|physical_size)|cluster_manager\\.active_clusters|access_logs\\.grpc_access_log\\.logs_dropped)$',
)}`;

/**
 * Istio keeps this counter only if its stats matcher includes access_logs; undefined without it.
 */
export function parseLogDropped(text: string): number | undefined {
  const [, value] =
    /^envoy_access_logs_grpc_access_log_logs_dropped(?:\{[^}\n]*\})? (\d{1,15})$/m.exec(text) ?? [];
  return value === undefined ? undefined : Number(value);
}

/** The three gauges of a Prometheus text, or undefined if one is missing or is not a count. */
export function parseStats(text: string): ProxyStats | undefined {
  const found: Partial<ProxyStats> = {};
  for (const line of text.split('\n')) {
    const [, name, value] = /^([a-z_]+)(?:\{[^}]*\})? (\d{1,15})(?:\s|$)/.exec(line) ?? [];
    if (name && name in names) found[names[name as keyof typeof names]] = Number(value);
  }
  const { allocatedBytes, physicalBytes, clusters } = found;
  if (allocatedBytes === undefined || physicalBytes === undefined || clusters === undefined) {
    return undefined;
  }
  return { allocatedBytes, physicalBytes, clusters };
}
