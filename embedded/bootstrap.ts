import { fileSource, loopback } from './clusters.ts';
import { type Json, readAllocatorSettings } from './shipped-patches.ts';
import type { XdsFiles } from './xds-files.ts';

/**
 * A bootstrap that equals Istio's (tools/packaging/common/envoy_bootstrap.json) where it affects
 * memory: Envoy creates clusters and their statistics at first use, and keeps few statistics.
 */
export function bootstrap(
  node: { id: string; cluster: string },
  files: Pick<XdsFiles, 'clustersFile' | 'listenersFile'>,
): Json {
  return {
    node,
    admin: { address: loopback(0) },
    dynamic_resources: {
      cds_config: fileSource(files.clustersFile),
      lds_config: fileSource(files.listenersFile),
    },
    cluster_manager: { enable_deferred_cluster_creation: true },
    deferred_stat_options: { enable_deferred_creation_stats: true },
    // Memory statistics are as old as the last flush.
    stats_flush_interval: '1s',
    stats_config: {
      use_all_default_tags: false,
      stats_matcher: {
        inclusion_list: {
          patterns: [
            ...['cluster_manager', 'listener_manager', 'server', 'wasm'].map((prefix) => ({
              prefix,
            })),
            // In addition to Istio's statistics: the counters that show whether Envoy accepted the
            // routes.
            { safe_regex: { regex: 'http\\..*\\.rds\\..*' } },
            // The connections through the gateway.
            { safe_regex: { regex: 'tcp\\.outbound_.*\\.downstream_cx_total' } },
          ],
        },
      },
    },
    ...readAllocatorSettings(),
  };
}
