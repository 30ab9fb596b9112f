import { fileSource, loopback } from './clusters.ts';
import { type Json, readAllocatorSettings } from './shipped-patches.ts';
import type { XdsFiles } from './xds-files.ts';

/**
 * A bootstrap as Istio's (tools/packaging/common/envoy_bootstrap.json) where it bears on memory:
 * clusters and their statistics are made when first used, and few statistics are kept at all.
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
    // Figures of memory are as old as the last flush.
    stats_flush_interval: '1s',
    stats_config: {
      use_all_default_tags: false,
      stats_matcher: {
        inclusion_list: {
          patterns: [
            ...['cluster_manager', 'listener_manager', 'server', 'wasm'].map((prefix) => ({
              prefix,
            })),
            // Beside Istio's: whether routes were taken, by which an embedded mesh knows that they
            // hold.
            { safe_regex: { regex: 'http\\..*\\.rds\\..*' } },
            // What went through the gateway.
            { safe_regex: { regex: 'tcp\\.outbound_.*\\.downstream_cx_total' } },
          ],
        },
      },
    },
    ...readAllocatorSettings(),
  };
}
