import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isOwn } from '../../../companion/core/oracle/own-parts.ts';
import { sentinelHost } from '../../../companion/core/scope/sentinel.ts';
import { copyOfManifests, edit } from './copy.ts';
import { find, type Manifest, manifests, parse, render, repository, valuesOf } from './render.ts';

const objects = render(join(manifests, 'example'));
const patches: Manifest[] = find(objects, 'EnvoyFilter', 'lazyscope').spec.configPatches;
const plugins = objects.filter(({ kind }) => kind === 'WasmPlugin');
const clusterPatches = (operation: string) =>
  patches.filter(({ applyTo, patch }) => applyTo === 'CLUSTER' && patch.operation === operation);
const clusters: Manifest[] = clusterPatches('ADD').map(({ patch }) => patch.value);
const clusterNamed = (name: string) => clusters.find((each) => each.name === name) ?? {};

/**
 * Every text constant of the filter. A regular expression reads them, because the module is
 * AssemblyScript.
 */
const filterNames = [
  ...readFileSync(join(repository, 'wasm-filter/names.ts'), 'utf8').matchAll(/ascii\('([^']+)'\)/g),
].map(([, name]) => name as string);

const filterUrl = 'http://lazyscope-filter.lazyscope-system.svc:9473';
const extension = (plugin: string) =>
  `extensions.istio.io/trafficextension/my-namespace.${plugin}~istio-translated-wasmplugin`;

test('the manifests have two plugins and one EnvoyFilter, all in the namespace', () => {
  expect(objects.map(({ kind, metadata }) => [kind, metadata.namespace, metadata.name])).toEqual([
    ['Namespace', undefined, 'my-namespace'],
    ['WasmPlugin', 'my-namespace', 'lazyscope'],
    ['WasmPlugin', 'my-namespace', 'lazyscope-tcp'],
    ['EnvoyFilter', 'my-namespace', 'lazyscope'],
  ]);
});

test('the names of extensions contain the namespace, and no placeholder is left', () => {
  const [removeAll, insert, removeTcp, removeHttp] = patches;
  const removed = removeAll?.match.listener.filterChain.filter.name;
  expect(removed).toBe(extension('lazyscope-tcp'));
  expect(insert?.patch.value.name).toBe(extension('lazyscope-tcp'));
  const chainOf = (patch?: Manifest) => patch?.match.listener.filterChain;
  expect(chainOf(removeTcp).filter.name).toBe(extension('lazyscope-tcp'));
  expect(chainOf(removeHttp).filter.subFilter.name).toBe(extension('lazyscope'));
  expect(JSON.stringify(objects)).not.toMatch(/NAMESPACE|FILLED/);
});

test('the network filter is removed everywhere before it is inserted in front of every TCP proxy', () => {
  const [first, ...rest] = patches.filter(
    ({ applyTo, match, patch }) =>
      applyTo === 'NETWORK_FILTER' &&
      match.context === 'SIDECAR_OUTBOUND' &&
      patch.operation !== 'MERGE',
  );
  expect(first?.patch.operation).toBe('REMOVE');
  expect(Object.keys(first?.match.listener.filterChain)).toEqual(['filter']);
  expect(rest.map(({ match, patch }) => [patch.operation, match.listener.filterChain])).toEqual([
    ['INSERT_BEFORE', { filter: { name: 'envoy.filters.network.tcp_proxy' } }],
  ]);
  // Neither a missing plugin nor a slow one may delay a listener.
  for (const { patch } of rest)
    expect(patch.value.config_discovery).toMatchObject({
      apply_default_config_without_warming: true,
      default_config: { stat_prefix: 'lazyscope' },
    });
});

test('only outbound sidecar traffic is changed, and in gateways the filter is only removed', () => {
  for (const { match, patch } of patches) {
    expect(['SIDECAR_OUTBOUND', 'GATEWAY']).toContain(match.context);
    if (match.context === 'GATEWAY') expect(patch).toEqual({ operation: 'REMOVE' });
  }
  for (const { spec } of plugins) expect(spec.match).toEqual([{ mode: 'CLIENT' }]);
});

describe('the plugins', () => {
  test('run the same bytes and fail open', () => {
    const [http, tcp] = plugins.map(({ spec }) => spec);
    expect([http?.type, tcp?.type]).toEqual(['HTTP', 'NETWORK']);
    expect([http?.pluginConfig.mode, tcp?.pluginConfig.mode]).toEqual(['http', 'tcp']);
    for (const spec of [http, tcp]) {
      expect(spec?.failStrategy).toBe('FAIL_OPEN');
      expect(spec?.sha256).toMatch(/^[0-9a-f]{64}$/);
      expect(spec?.url).toBe(`${filterUrl}/filters/${spec?.sha256}/filter.wasm`);
    }
    expect(http?.sha256).toBe(tcp?.sha256);
  });

  test('are configured by keys and values that the filter knows', () => {
    for (const { spec } of plugins)
      for (const [key, value] of Object.entries(spec.pluginConfig)) {
        expect(filterNames).toContain(key);
        if (typeof value === 'string') expect(filterNames).toContain(value);
      }
  });

  test('are pinned to a file by the script', () => {
    const folder = copyOfManifests();
    const wasm = join(folder, 'filter.wasm');
    writeFileSync(wasm, 'any bytes');
    execFileSync(join(folder, 'namespace/pin-filter.sh'), [wasm]);
    const digest = createHash('sha256').update('any bytes').digest('hex');
    const pinned = render(join(folder, 'example')).filter(({ kind }) => kind === 'WasmPlugin');
    for (const { spec } of pinned)
      expect([spec.sha256, spec.url]).toEqual([
        digest,
        `${filterUrl}/filters/${digest}/filter.wasm`,
      ]);
    expect(pinned).toHaveLength(2);
  });
});

describe('the clusters', () => {
  test('are the clusters that the filter names', () => {
    const names = clusters.map(({ name }) => name).sort();
    expect(names).toEqual(filterNames.filter((name) => /^lazyscope-/.test(name)).sort());
  });

  test('of the sentinel are left out, since only its listeners are wanted', () => {
    expect(clusterPatches('REMOVE').map(({ match }) => match.cluster.service)).toEqual([
      sentinelHost,
    ]);
  });

  test('have explicit timeouts and limits, and never hold up the start of a proxy', () => {
    for (const { connect_timeout, circuit_breakers, cluster_type, ...cluster } of clusters) {
      expect(connect_timeout).toMatch(/^\d+(\.\d+)?s$/);
      expect(Object.keys(circuit_breakers.thresholds[0])).toHaveLength(4);
      if (cluster_type) expect(cluster.wait_for_warm_on_init).toBe(false);
      expect(valuesOf(cluster, 'eds_cluster_config')).toEqual([]);
    }
  });

  test('that lead into the mesh use Istio mTLS with the workload’s own identity', () => {
    for (const name of ['lazyscope-egress', 'lazyscope-direct']) {
      const tls = clusterNamed(name).transport_socket.typed_config.common_tls_context;
      expect(tls.alpn_protocols).toEqual(['istio']);
      expect(tls.tls_certificate_sds_secret_configs[0].name).toBe('default');
      const { default_validation_context: rule } = tls.combined_validation_context;
      expect(rule.match_typed_subject_alt_names[0].matcher.prefix).toBe('spiffe://cluster.local/');
    }
    for (const name of ['lazyscope-node', 'lazyscope-hold'])
      expect(clusterNamed(name)).not.toHaveProperty('transport_socket');
  });

  test('reach the Services of the base', () => {
    const services = render(join(manifests, 'base')).filter(({ kind }) => kind === 'Service');
    const known = services.flatMap(({ metadata, spec }) =>
      spec.ports.map(
        ({ port }: Manifest) => `${metadata.name}.${metadata.namespace}.svc.cluster.local:${port}`,
      ),
    );
    const sockets = clusters.flatMap((cluster) => valuesOf(cluster, 'socket_address'));
    expect(sockets).toHaveLength(3);
    for (const socket of sockets as Manifest[])
      expect(known).toContain(`${socket.address}:${socket.port_value}`);
  });

  test('follow the domain and the trust domain of another mesh', () => {
    const folder = copyOfManifests();
    edit(join(folder, 'namespace/settings.env'), (text) =>
      text
        .replace('clusterDomain=cluster.local', 'clusterDomain=corp.example')
        .replace('trustDomain=cluster.local', 'trustDomain=prod.example'),
    );
    const rendered = JSON.stringify(render(join(folder, 'example')));
    expect(rendered).not.toContain('cluster.local');
    expect(rendered.match(/\.lazyscope-system\.svc\.corp\.example"/g)).toHaveLength(3);
    expect(rendered.match(/"spiffe:\/\/prod\.example\/"/g)).toHaveLength(2);
  });
});

describe('the routes', () => {
  const ofRoutes = patches.filter(({ applyTo }) => applyTo === 'HTTP_ROUTE');
  const routes = ofRoutes.filter(({ patch }) => patch.operation === 'INSERT_FIRST');
  const values = routes.map(({ patch }) => patch.value);

  test('put the hold in front', () => {
    // INSERT_FIRST prepends, so the last patch comes first.
    expect(values.map(({ name }) => name)).toEqual(['lazyscope_first_call', 'lazyscope_hold']);
  });

  test('end with one for what no rule matches; istioctl analyze rejects ADD for routes', () => {
    const added = ofRoutes.filter(({ patch }) => !/INSERT_FIRST|MERGE/.test(patch.operation));
    expect(added.map(({ match, patch }) => [match, patch.operation, patch.value.name])).toEqual([
      [{ context: 'SIDECAR_OUTBOUND' }, 'INSERT_AFTER', 'lazyscope_no_route'],
    ]);
  });

  test('and the clusters are known as our own to what compares configurations', () => {
    const named = [...ofRoutes.map(({ patch }) => patch.value), ...clusters].filter((v) => v.name);
    expect(named.length).toBe(3 + clusters.length);
    expect(named.filter((value) => !isOwn(value))).toEqual([]);
  });

  test('bridge a missing cluster in the virtual hosts of known hosts too', () => {
    for (const { match } of routes) expect(match).toEqual({ context: 'SIDECAR_OUTBOUND' });
  });

  test('that answer by themselves are marked, so that their requests are not redirected', () => {
    const marks = ofRoutes.filter(({ patch }) => patch.operation === 'MERGE');
    const actions = marks.map(({ match }) => match.routeConfiguration.vhost.route.action);
    expect(actions).toEqual(['REDIRECT', 'DIRECT_RESPONSE']);
    const read = filterNames.find((name) => name.startsWith('xds\\0route_metadata\\0'));
    for (const { patch } of marks) {
      const [[key, fields]] = Object.entries(patch.value.metadata.filter_metadata) as [
        [string, object],
      ];
      expect(read).toBe(`xds\\0route_metadata\\0filter_metadata\\0${key}\\0${Object.keys(fields)}`);
    }
  });

  test('match only the marker, and remove it', () => {
    for (const { match, request_headers_to_remove: removed } of values) {
      expect(match.headers.map(({ name }: Manifest) => name)).toEqual(['x-lazyscope-cluster']);
      expect(removed).toEqual(['x-lazyscope-cluster']);
      expect(filterNames).toContain('x-lazyscope-cluster');
    }
  });

  test('follow a redirect of the companion, never one of a destination', () => {
    const [firstCall, hold] = values.map(({ route }) => route);
    expect(firstCall).not.toHaveProperty('internal_redirect_policy');
    expect(firstCall.cluster_header).toBe('x-lazyscope-cluster');
    expect(hold.cluster).toBe('lazyscope-hold');
    expect(hold.internal_redirect_policy.redirect_response_codes).toEqual([307]);
  });

  test('cannot be chosen by the app, because all headers of Lazyscope are removed first', () => {
    const [merge] = patches.filter(({ applyTo }) => applyTo === 'NETWORK_FILTER').slice(-1);
    const [matcher] = valuesOf(merge, 'key_matcher') as { prefix: string }[];
    const headers = filterNames.filter((name) => /^x-(?!envoy-)/.test(name));
    expect(headers.length).toBeGreaterThan(5);
    for (const header of headers) expect(header.startsWith(String(matcher?.prefix))).toBe(true);
  });
});

test('the example shows how to enable a namespace', () => {
  const [namespace] = parse(readFileSync(join(manifests, 'example/namespace.yaml'), 'utf8'));
  expect(namespace?.metadata.labels).toEqual({ 'lazyscope.io/mode': 'observe' });
});
