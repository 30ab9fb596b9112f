import { describe, expect, test } from 'vitest';
import type { ConfigDump } from '../../../../companion/core/oracle/config-dump.ts';
import { danglingClusters } from '../../../../companion/core/oracle/dangling.ts';

const type = (name: string) => ({ '@type': `type.googleapis.com/envoy.admin.v3.${name}` });
const there = 'outbound|80||a.shop.svc.cluster.local';
const gone = 'outbound|9191||opa.auth.svc.cluster.local';

/** A proxy with two clusters and a listener with this filter configuration. */
function dumpWith(typedConfig: object): ConfigDump {
  return {
    configs: [
      { ...type('BootstrapConfigDump'), bootstrap: { node: { id: 'x', cluster: 'web.shop' } } },
      {
        ...type('ClustersConfigDump'),
        static_clusters: [{ cluster: { name: 'xds-grpc' } }],
        dynamic_active_clusters: [
          { cluster: { name: there, eds_cluster_config: { service_name: gone } } },
        ],
      },
      {
        ...type('ListenersConfigDump'),
        dynamic_listeners: [
          {
            name: 'virtualInbound',
            active_state: {
              listener: {
                name: 'virtualInbound',
                filter_chains: [
                  { name: 'in', filters: [{ name: 'f', typed_config: typedConfig }] },
                ],
              },
            },
          },
        ],
      },
      { ...type('EndpointsConfigDump'), dynamic_endpoint_configs: [{ cluster_name: gone }] },
    ],
  };
}

const place =
  'ListenersConfigDump > dynamic_listeners[virtualInbound] > active_state > listener > ' +
  'filter_chains[in] > filters[f] > typed_config';

/** The ways in which Envoy's configuration names a cluster, with the field of each. */
const ways: [string, object, string][] = [
  ['a route', { route: { cluster: gone } }, 'route > cluster'],
  [
    'weights',
    { weighted_clusters: { clusters: [{ name: gone, weight: 1 }] } },
    'weighted_clusters > clusters',
  ],
  ['an aggregate', { clusters: [gone, there] }, 'clusters'],
  [
    'a copy of requests',
    { request_mirror_policies: [{ cluster: gone }] },
    'request_mirror_policies[0] > cluster',
  ],
  [
    'authorization by gRPC',
    { grpc_service: { envoy_grpc: { cluster_name: gone } } },
    'grpc_service > envoy_grpc > cluster_name',
  ],
  [
    'authorization by HTTP',
    { http_service: { server_uri: { uri: 'http://opa', cluster: gone } } },
    'http_service > server_uri > cluster',
  ],
  ['keys', { remote_jwks: { http_uri: { cluster: gone } } }, 'remote_jwks > http_uri > cluster'],
  [
    'a tracer',
    { tracing: { provider: { typed_config: { collector_cluster: gone } } } },
    'tracing > provider > typed_config > collector_cluster',
  ],
  ['a program', { inline_code: `handle:httpCall("${gone}", {})` }, 'inline_code'],
];

describe.each(ways)('%s', (_way, config, field) => {
  test('that names a missing cluster is reported with its place', () => {
    expect(danglingClusters(dumpWith(config))).toEqual([
      { cluster: gone, place: `${place} > ${field}` },
    ]);
  });

  test('that names an existing cluster is not reported', () => {
    const text = JSON.stringify(config).replaceAll(gone, there);
    expect(danglingClusters(dumpWith(JSON.parse(text)))).toEqual([]);
  });
});

test.each([
  ['a header that names the cluster of each request', { route: { cluster_header: 'x-to' } }],
  ['a name of statistics', { stat_prefix: gone }],
  ['a server name', { sni: gone }],
  ['a note', { metadata: { filter_metadata: { istio: { cluster: gone } } } }],
  ['a listener that is about to go', { draining_state: { cluster: gone } }],
  ['configuration that Envoy refused', { error_state: { cluster: gone } }],
  ['the sentinel', { route: { cluster: 'outbound|80||http-ports.lazyscope.internal' } }],
  ['a cluster of the bootstrap', { cluster_name: 'xds-grpc' }],
])('%s is no reference', (_what, config) => {
  expect(danglingClusters(dumpWith(config))).toEqual([]);
});
