import type { Fields } from '../../../../companion/core/oracle/config-dump.ts';
import type { DumpedHost, DumpedProxy } from './proxy-dump.ts';

/** The field that names this type. */
export const type = (name: string) => ({ '@type': `type.googleapis.com/${name}` });
/** The name that a plugin of the namespace has in a filter chain. */
export const plugin = (name: string) =>
  `extensions.istio.io/trafficextension/shop.${name}~istio-translated-wasmplugin`;
const tcpName = 'envoy.filters.network.tcp_proxy';
const httpName = 'envoy.filters.network.http_connection_manager';

export const clusterOf = ({ host, port }: DumpedHost) => `outbound|${port}||${host}`;

function tcpChain(cluster: string, isEnabled: boolean, more: object = {}): Fields {
  return {
    ...more,
    filters: [
      ...(isEnabled ? [{ name: plugin('lazyscope-tcp'), config_discovery: {} }] : []),
      { name: tcpName, typed_config: { ...type('TcpProxy'), stat_prefix: cluster, cluster } },
    ],
  };
}

const passing = (isEnabled: boolean) =>
  tcpChain('PassthroughCluster', isEnabled, { name: 'PassthroughFilterChain' });

const spokenHttp = { transport_protocol: 'raw_buffer', application_protocols: ['http/1.1', 'h2c'] };

function httpChain(routes: string, isEnabled: boolean): Fields {
  const removal = {
    name: 'envoy.http.early_header_mutation.header_mutation',
    typed_config: { mutations: [{ remove_on_match: { key_matcher: { prefix: 'x-lazyscope-' } } }] },
  };
  const config = {
    ...type('HttpConnectionManager'),
    stat_prefix: `outbound_${routes}`,
    rds: { config_source: { ads: {} }, route_config_name: routes },
    http_filters: [
      ...(isEnabled ? [{ name: plugin('lazyscope'), config_discovery: {} }] : []),
      { name: 'envoy.filters.http.fault', typed_config: type('HTTPFault') },
      { name: 'envoy.filters.http.router', typed_config: type('Router') },
    ],
    ...(isEnabled && { early_header_mutation_extensions: [removal] }),
  };
  return { filter_chain_match: spokenHttp, filters: [{ name: httpName, typed_config: config }] };
}

function listener(name: string, chains: Fields[], more: Fields = {}): Fields {
  const [address, port] = name.split('_');
  const matching = chains.filter((chain) => chain.filter_chain_match);
  const [last] = chains.filter((chain) => !chain.filter_chain_match);
  const asks = (field: string) =>
    matching.some((chain) => (chain.filter_chain_match as Fields)[field] !== undefined);
  const filters = [
    ...(asks('server_names') ? [{ name: 'envoy.filters.listener.tls_inspector' }] : []),
    ...(asks('application_protocols') ? [{ name: 'envoy.filters.listener.http_inspector' }] : []),
  ];
  return {
    name,
    ...(port && { address: { socket_address: { address, port_value: Number(port) } } }),
    ...(matching.length === 0 ? { filter_chains: chains } : { filter_chains: matching }),
    ...(matching.length > 0 && last && { default_filter_chain: last }),
    ...(filters.length > 0 && { listener_filters: filters }),
    listener_filters_timeout: asks('application_protocols') ? '5s' : '0s',
    traffic_direction: 'OUTBOUND',
    bind_to_port: false,
    ...more,
  };
}

/** Listeners of the hosts and of the sentinel's ports. */
export function listenersOfHosts(proxy: DumpedProxy): Fields[] {
  return [...chainsOf(proxy)].map(([name, chains]) => listener(name, chains));
}

function chainsOf({ hosts, sentinel = [], isEnabled = false }: DumpedProxy): Map<string, Fields[]> {
  const found = new Map<string, Fields[]>();
  const add = (name: string, ...chains: Fields[]) =>
    found.set(name, [...(found.get(name) ?? []), ...chains]);
  const web = hosts.filter(({ by }) => by === 'http').map(({ port }) => port);
  for (const port of new Set([...web, ...sentinel]))
    add(`0.0.0.0_${port}`, httpChain(String(port), isEnabled));
  for (const each of hosts) {
    const chain = tcpChain(clusterOf(each), isEnabled);
    const own = `${each.address}_${each.port}`;
    if (each.by === 'tcp') add(own, chain);
    if (each.by === 'sniffed') add(own, httpChain(`${each.host}:${each.port}`, isEnabled), chain);
    if (each.by === 'any address') add(`0.0.0.0_${each.port}`, chain);
    const bySni = { filter_chain_match: { server_names: [each.host] } };
    if (each.by === 'sni') add(`0.0.0.0_${each.port}`, { ...bySni, ...chain });
  }
  for (const [name, chains] of found)
    if (chains.every((chain) => chain.filter_chain_match)) add(name, passing(isEnabled));
  return found;
}

/** Listeners for all calls, which belong to no host. */
export function listenersForAll(isEnabled: boolean): Fields[] {
  const route = {
    name: 'default',
    match: { prefix: '/' },
    // Set by MeshConfig.defaultInboundHttpRetryPolicy.
    route: { cluster: 'inbound|8080||', retry_policy: { retry_on: '5xx', num_retries: 2 } },
  };
  const config = {
    ...type('HttpConnectionManager'),
    route_config: { name: 'inbound|8080||', virtual_hosts: [{ name: 'inbound', routes: [route] }] },
    http_filters: [
      { name: 'envoy.filters.http.rbac', typed_config: { rules: { action: 'DENY' } } },
      { name: 'envoy.filters.http.router', typed_config: type('Router') },
    ],
  };
  const inbound = (match: object) => ({
    name: '0.0.0.0_8080',
    filter_chain_match: { destination_port: 8080, ...match },
    filters: [{ name: httpName, typed_config: config }],
  });
  const blackHole = { filter_chain_match: { destination_port: 15001 }, name: 'blackhole' };
  return [
    listener('virtualInbound', [inbound({ transport_protocol: 'tls' }), inbound({})], {
      ...{ traffic_direction: 'INBOUND', bind_to_port: true },
    }),
    listener(
      'virtualOutbound',
      [
        tcpChain('BlackHoleCluster', isEnabled, blackHole),
        tcpChain('PassthroughCluster', isEnabled),
      ],
      { bind_to_port: true, use_original_dst: true },
    ),
    // A listener of a Sidecar that is bound to a port.
    listener(
      '127.0.0.1_9999',
      [tcpChain('outbound|9999||bound.shop.svc.cluster.local', isEnabled)],
      { bind_to_port: true },
    ),
  ];
}
