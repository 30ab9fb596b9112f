import { canonical } from '../scope/canonical.ts';
import {
  at,
  type ConfigDump,
  clustersOf,
  type Fields,
  isObject,
  type Json,
  listenersOf,
  namedFiltersOf,
  objectsIn,
  routeConfigsOf,
} from './config-dump.ts';
import { isOwn, withoutOwn } from './own-parts.ts';

/** A part of a proxy's configuration that Envoy finds by its name, and not by its place. */
export type Part = {
  kind: 'listener' | 'filter chain' | 'routes' | 'virtual host' | 'cluster' | 'filter';
  /** Unique in a dump. */
  name: string;
  /** The listener of a filter chain, and the routes of a virtual host. */
  within?: string;
  /**
   * Hosts and addresses that the part is for; none where it is for all calls, as everything inbound
   * is.
   */
  hosts: readonly string[];
  value: Fields;
};

/** Ends the name of the chain that takes what no other chain of the listener matches. */
export const anything = 'anything else';

/** All parts by name, without those of our own. */
export function partsOf(dump: ConfigDump): Map<string, Part> {
  const listeners = listenersOf(dump);
  // Routes of listeners that are for all calls are for all calls, too.
  const bound = routeNamesOf(listeners.filter((listener) => !isForHosts(listener)));
  // Envoy keeps the routes of a listener for as long as it drains the listener.
  const inUse = routeNamesOf(listeners);
  const routes = new Map(
    routeConfigsOf(dump)
      .map((config) => [String(config.name), config] as const)
      .filter(([name]) => inUse.has(name))
      .map(([name, config]) => [name, partsOfRoutes(name, config, bound.has(name))] as const),
  );
  const parts = [
    ...listeners.flatMap((listener) => partsOfListener(listener, routes)),
    ...[...routes.values()].flat(),
    ...clustersOf(dump).map((cluster) => partOfCluster(cluster)),
    ...namedFiltersOf(dump).map((filter) => partOf('filter', String(filter.name), [], filter)),
  ].filter(({ value }) => !isOwn(value));
  return new Map(
    parts.map((part) => [part.name, { ...part, value: withoutOwn(part.value) as Fields }]),
  );
}

const partOf = (kind: Part['kind'], name: string, hosts: readonly string[], value: Fields) => ({
  ...{ kind, hosts, value },
  name: `${kind} ${name}`,
});

/**
 * Only a listener for connections to other addresses is for some hosts: `virtualInbound`,
 * `virtualOutbound`, and those that a Sidecar binds to a port of their own, are for all calls.
 */
const isForHosts = ({ traffic_direction: direction, bind_to_port: bind }: Fields) =>
  direction === 'OUTBOUND' && bind === false;

function partsOfListener(listener: Fields, routes: ReadonlyMap<string, Part[]>): Part[] {
  const { filter_chains: list, default_filter_chain: last, ...rest } = listener;
  const chains = [...objectsIn(list), ...(isObject(last) ? [last] : [])];
  const address = String(at(listener, 'address', 'socket_address', 'address') ?? '');
  // The chain for what matches no other leads to no host of its own, also by an egressProxy.
  const hostsOf = (chain: Fields) =>
    isForHosts(listener) && !passesOn(chain) ? hostsOfChain(chain, address, routes) : [];
  const name = String(listener.name);
  const all = [...new Set(chains.flatMap(hostsOf))];
  const whole = partOf('listener', name, all, rest);
  const parts = chains.map((chain) => {
    const own = hostsOf(chain);
    // One that leads to no host is there for those of the others.
    const part = partOf(
      'filter chain',
      `${name} > ${matchOf(chain)}`,
      own.length ? own : all,
      chain,
    );
    return { ...part, within: whole.name };
  });
  return [whole, ...parts];
}

/** Istio gives this name to the chain that passes on what no other chain matches. */
export function passesOn({ name }: Fields): boolean {
  return name === 'PassthroughFilterChain';
}

/** What a chain matches is its key: Envoy refuses two that match the same. */
function matchOf({ filter_chain_match: match }: Fields): string {
  return isObject(match) && Object.keys(match).length > 0 ? canonical(match) : anything;
}

function hostsOfChain(
  chain: Fields,
  address: string,
  routes: ReadonlyMap<string, Part[]>,
): readonly string[] {
  const names = at(chain, 'filter_chain_match', 'server_names');
  if (Array.isArray(names)) return names.map(String);
  const found = objectsIn(chain.filters).flatMap(({ typed_config: config }) => {
    const byName = String(at(config, 'rds', 'route_config_name') ?? '');
    const weighted = objectsIn(at(config, 'weighted_clusters', 'clusters'));
    const clusters = [at(config, 'cluster'), ...weighted.map(({ name }) => name)];
    return [...(routes.get(byName)?.[0]?.hosts ?? []), ...clusters.flatMap(hostOfCluster)];
  });
  const isOne = address !== '' && address !== '0.0.0.0' && address !== '::';
  return found.length > 0 && isOne ? [...found, address] : found;
}

/** `outbound|PORT|SUBSET|HOST`; all other clusters are for no host. */
function hostOfCluster(name: Json): string[] {
  const [direction, , , host] = String(name).split('|');
  return direction === 'outbound' && host ? [host] : [];
}

const partOfCluster = (cluster: Fields) =>
  partOf('cluster', String(cluster.name), hostOfCluster(cluster.name), cluster);

/** Names of the routes that these listeners take. */
function routeNamesOf(listeners: readonly Fields[]): Set<string> {
  const chains = listeners.flatMap((each) => [
    ...objectsIn(each.filter_chains),
    ...objectsIn([each.default_filter_chain]),
  ]);
  const filters = chains.flatMap((chain) => objectsIn(chain.filters));
  return new Set(
    filters.map(({ typed_config: config }) => String(at(config, 'rds', 'route_config_name') ?? '')),
  );
}

/** The routes as a whole, and then each virtual host. */
function partsOfRoutes(name: string, config: Fields, isBound: boolean): Part[] {
  const { virtual_hosts: list, ...rest } = config;
  const virtualHosts = objectsIn(list);
  const hostsOf = (each: Fields) => (isBound ? [] : hostOfVirtualHost(String(each.name)));
  const all = [...new Set(virtualHosts.flatMap(hostsOf))];
  const whole = partOf('routes', name, all, rest);
  const parts = virtualHosts.map((each) => {
    const own = hostsOf(each);
    const hosts = own.length ? own : all;
    const part = partOf('virtual host', `${name} > ${String(each.name)}`, hosts, each);
    return { ...part, within: whole.name };
  });
  return [whole, ...parts];
}

/** Where a call ends whose authority is in no other virtual host. */
const catchAll = new Set(['allow_any', 'block_all', 'allow_any_dynamic_dns']);

/** `HOST:PORT`. */
function hostOfVirtualHost(name: string): string[] {
  return catchAll.has(name) ? [] : [name.replace(/:\d+$/, '')];
}
