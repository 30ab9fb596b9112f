import type { ConfigDump, Fields } from '../../../../companion/core/oracle/config-dump.ts';
import { sentinelHost } from '../../../../companion/core/scope/sentinel.ts';
import { clusterOf, listenersForAll, listenersOfHosts, plugin, type } from './proxy-listeners.ts';

/**
 * A small version of the configuration that istiod gives a sidecar: every kind of listener, filter
 * chain, route and cluster, each with its own content.
 */
export type DumpedHost = {
  host: string;
  port: number;
  /** The way in which istiod serves the port: HTTP by name, TCP and sniffed ports by address. */
  by: 'http' | 'sniffed' | 'tcp' | 'sni' | 'any address';
  address: string;
};

export type DumpedProxy = {
  hosts: readonly DumpedHost[];
  /** Ports of the sentinel. */
  sentinel?: readonly number[];
  /** True if the namespace is enabled. */
  isEnabled?: boolean;
  version?: string;
};

const admin = (name: string) => type(`envoy.admin.v3.${name}`);

const markers = ['lazyscope_hold', 'lazyscope_first_call'].map((name) => ({
  ...{ name, match: { prefix: '/' } },
  route: { cluster_header: 'x-lazyscope-cluster' },
}));

function virtualHost(name: string, domains: string[], action: object, isEnabled: boolean): Fields {
  const notes = { filter_metadata: { lazyscope: { answers: true } } };
  const routes = [
    {
      name: 'reads',
      match: { prefix: '/read' },
      redirect: {},
      ...(isEnabled && { metadata: notes }),
    },
    { name: 'default', match: { prefix: '/' }, ...action },
  ];
  return { name, domains, routes: [...(isEnabled ? markers : []), ...routes] };
}

function routesOf({ hosts, sentinel = [], isEnabled = false }: DumpedProxy): Fields[] {
  const leadsTo = (each: DumpedHost) => ({ route: { cluster: clusterOf(each), timeout: '0s' } });
  const web = hosts.filter(({ by }) => by === 'http');
  const ports = new Set([...web.map(({ port }) => port), ...sentinel]);
  const shared = [...ports].map((port) => ({
    name: String(port),
    validate_clusters: false,
    virtual_hosts: [
      ...web
        .filter((each) => each.port === port)
        .map((each) =>
          virtualHost(`${each.host}:${port}`, [each.host, each.address], leadsTo(each), isEnabled),
        ),
      ...(sentinel.includes(port)
        ? [virtualHost(`${sentinelHost}:${port}`, [sentinelHost], { route: {} }, isEnabled)]
        : []),
      virtualHost('allow_any', ['*'], { route: { cluster: 'PassthroughCluster' } }, isEnabled),
    ],
  }));
  const own = hosts
    .filter(({ by }) => by === 'sniffed')
    .map((each) => ({
      name: `${each.host}:${each.port}`,
      validate_clusters: false,
      virtual_hosts: [virtualHost(`${each.host}:${each.port}`, ['*'], leadsTo(each), isEnabled)],
    }));
  return [...shared, ...own];
}

function clustersOf({ hosts, isEnabled = false }: DumpedProxy): Fields[] {
  const ofHosts = hosts.map((each) => ({
    ...{ name: clusterOf(each), type: 'EDS', connect_timeout: '10s' },
    metadata: {
      filter_metadata: { istio: { services: [{ host: each.host, namespace: 'shop' }] } },
    },
  }));
  const ownNames = isEnabled ? ['lazyscope-hold', 'lazyscope-node', 'lazyscope-egress'] : [];
  const pool = { circuit_breakers: { thresholds: [{ max_connections: 7 }] } };
  return [
    ...ofHosts,
    { name: 'inbound|8080||', ...pool },
    ...['PassthroughCluster', 'BlackHoleCluster', ...ownNames].map((name) => ({ name })),
  ];
}

export function dumpOf(proxy: DumpedProxy): ConfigDump {
  const { isEnabled = false, version = '1' } = proxy;
  const stamp = { version_info: version, last_updated: `2026-01-0${version}T00:00:00Z` };
  const named = isEnabled ? [plugin('lazyscope'), plugin('lazyscope-tcp'), 'theirs'] : ['theirs'];
  return {
    configs: [
      {
        ...admin('ClustersConfigDump'),
        static_clusters: [{ cluster: { name: 'xds-grpc' }, ...stamp }],
        dynamic_active_clusters: clustersOf(proxy).map((cluster) => ({ cluster, ...stamp })),
      },
      {
        ...admin('ListenersConfigDump'),
        static_listeners: [{ listener: { name: 'agent' } }],
        dynamic_listeners: [...listenersForAll(isEnabled), ...listenersOfHosts(proxy)].map(
          (each) => ({
            ...{ name: each.name, active_state: { listener: each, ...stamp } },
          }),
        ),
      },
      {
        ...admin('RoutesConfigDump'),
        dynamic_route_configs: routesOf(proxy).map((config) => ({
          route_config: config,
          ...stamp,
        })),
      },
      {
        ...admin('EcdsConfigDump'),
        ecds_filters: named.map((name) => ({
          ecds_filter: { name, typed_config: type('Wasm') },
          ...stamp,
        })),
      },
    ],
  };
}
