import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { shippedPath } from '../../embedded/shipped-patches.ts';
import type { Json } from './bootstrap.ts';

/** What `manifests/namespace-access-log` adds to a sidecar, read from the manifests. */

// biome-ignore lint/suspicious/noExplicitAny: patches have the shapes of many Envoy types.
type Patch = { applyTo: string; match: any; patch: { operation: string; value: any } };

export type AccessLogParts = {
  /** In front of the connection manager, and of the two chains of unknown connections. */
  markers: Json[];
  /** Fields of every outbound HTTP connection manager, and of every TCP proxy. */
  manager: Json;
  tcpProxy: Json;
  /** Fields of the TCP proxies of the two chains of unknown connections. */
  unknownTcpProxy: Json;
  /** The HTTP filter in front of the router. */
  waiting: Json;
  /** The routes of a virtual host for unknown calls: `allow_any` or `block_all`. */
  routesOf(virtualHost: string): Json[];
  clusterOf(name: string): Json;
};

/** `plain` is an address in a range that unknown calls reach in plain text. */
export function accessLogParts(
  range = '10.96.0.0/16',
  plain = 'none',
  second = 'none/0',
): AccessLogParts {
  const filled = readFileSync(
    shippedPath('manifests/namespace-access-log/envoyfilter.yaml'),
    'utf8',
  )
    .replaceAll('none|FILLED-FROM-SETTINGS|none', `none|${plain}|none`)
    .replaceAll('FILLED-FROM-SETTINGS', range)
    .replaceAll('SECOND-FROM-SETTINGS', second)
    .replaceAll('WITHOUT_PORT(16)', `WITHOUT_PORT(${range.split('/')[1]})`)
    .replaceAll('WITHOUT_PORT(0)', `WITHOUT_PORT(${second.split('/')[1]})`);
  const patches: Patch[] = parse(filled).spec.configPatches;
  const values = (applyTo: string, operation: string) =>
    patches
      .filter((each) => each.applyTo === applyTo && each.patch.operation === operation)
      .map(({ match, patch }) => ({ match, value: patch.value }));
  const [manager, tcpProxy, ofChain] = values('NETWORK_FILTER', 'MERGE').map(
    ({ value }) => value.typed_config,
  );
  const options = { ...tcpProxy.access_log_options, ...ofChain.access_log_options };
  return {
    ...{ manager, tcpProxy, unknownTcpProxy: { ...tcpProxy, access_log_options: options } },
    markers: values('NETWORK_FILTER', 'INSERT_BEFORE').map(({ value }) => value),
    waiting: values('HTTP_FILTER', 'INSERT_BEFORE')[0]?.value,
    routesOf: (virtualHost) =>
      values('HTTP_ROUTE', 'INSERT_FIRST')
        .filter(({ match }) => match.routeConfiguration.vhost.name === virtualHost)
        .map(({ value }) => value),
    clusterOf(name) {
      const found = values('CLUSTER', 'ADD').find(({ value }) => value.name === name)?.value;
      if (!found) throw new Error(`manifests/namespace-access-log adds no cluster ${name}`);
      return found;
    },
  };
}
