import { expect, test } from 'vitest';
import type { ConfigDump } from '../../../../companion/core/oracle/config-dump.ts';
import type { Imported } from '../../../../companion/core/oracle/imported.ts';
import { compareNarrowed, textOf } from '../../../../companion/core/oracle/narrowing.ts';
import { sentinelHost } from '../../../../companion/core/scope/sentinel.ts';
import { type DumpedHost, type DumpedProxy, dumpOf } from './proxy-dump.ts';

const hostOf = (name: string) => `${name}.shop.svc.cluster.local`;
const host = (name: string, by: DumpedHost['by'], port: number, address = '0.0.0.0') => ({
  ...{ host: hostOf(name), by, port, address },
});

const imported = [
  host('web', 'http', 80, '10.96.0.1'),
  host('any', 'sniffed', 8180, '10.96.0.2'),
  host('db', 'tcp', 3306, '10.96.0.3'),
  host('out', 'sni', 443),
];
const others = [
  host('other-web', 'http', 80, '10.96.1.1'),
  host('other-any', 'sniffed', 8180, '10.96.1.2'),
  host('other-db', 'tcp', 3306, '10.96.1.3'),
  host('other-out', 'sni', 80),
  host('other-all', 'any address', 80),
  host('far-web', 'http', 81, '10.96.1.4'),
];
const sentinel = [80, 8180];
const importedOf = (hosts: readonly DumpedHost[]): Imported => ({
  entries: [...hosts.map((each) => each.host), sentinelHost].map((each) => `shop/${each}`),
  addresses: hosts.map(({ address }) => address).filter((address) => address !== '0.0.0.0'),
});

const full: DumpedProxy = { hosts: [...imported, ...others], sentinel };
const narrow: DumpedProxy = { hosts: imported, sentinel, isEnabled: true, version: '2' };

const compare = (before: ConfigDump, after: ConfigDump) =>
  compareNarrowed(before, after, importedOf(imported));
const differencesIn = (before: ConfigDump, after: ConfigDump) =>
  compare(before, after).differences.map(textOf);

test('nothing is lost if only hosts that are not imported are left out, and each of them is named', () => {
  const { differences, excused } = compare(dumpOf(full), dumpOf(narrow));
  expect(differences).toEqual([]);
  const of = (wanted: string) =>
    excused.filter(({ reason }) => reason === wanted).map(({ part }) => part);
  expect(of('not imported')).toEqual(
    expect.arrayContaining([
      `virtual host 80 > ${hostOf('other-web')}:80`,
      'listener 10.96.1.3_3306',
      'listener 0.0.0.0_81',
      'virtual host 81 > allow_any',
      `routes ${hostOf('other-any')}:8180`,
      `cluster outbound|80||${hostOf('other-web')}`,
      `filter chain 0.0.0.0_80 > {"server_names":["${hostOf('other-out')}"]}`,
    ]),
  );
  expect(of('passed through')).toEqual(['filter chain 0.0.0.0_80 > anything else']);
  expect(of('inspector')).toEqual(['listener 0.0.0.0_80']);
});

test('the sentinel may have come with the product', () => {
  const before = dumpOf({ hosts: imported });
  const { differences, excused } = compare(before, dumpOf(narrow));
  expect(differences).toEqual([]);
  expect(excused).toContainEqual({ part: 'listener 0.0.0.0_8180', reason: 'sentinel' });
  expect(excused).toContainEqual({ part: 'routes 8180', reason: 'sentinel' });
});

test('enabling removes the clusters of the sentinel', () => {
  const cluster = { ...host('', 'tcp', 80, '10.96.9.1'), host: sentinelHost };
  const { excused } = compare(dumpOf({ ...full, hosts: [cluster] }), dumpOf(narrow));
  expect(excused).toContainEqual({
    ...{ part: `cluster outbound|80||${sentinelHost}`, reason: 'sentinel' },
  });
});

/** The dump of a proxy with one replaced piece of text, which stands for a loss. */
function edited(from: string, to: string, proxy: DumpedProxy = narrow): ConfigDump {
  const text = JSON.stringify(dumpOf(proxy));
  if (!text.includes(from)) throw new Error(`${from} is not in the dump`);
  return JSON.parse(text.replace(from, () => to));
}

const without = (name: string) =>
  dumpOf({ ...narrow, hosts: imported.filter((each) => each.host !== hostOf(name)) });

const http = '{"application_protocols":["http/1.1","h2c"],"transport_protocol":"raw_buffer"}';
const manager = 'filters[envoy.filters.network.http_connection_manager] > typed_config';
const encrypted = '{"destination_port":8080,"transport_protocol":"tls"}';

/** Losses that narrowing could cause, with the differences that the comparison must report. */
const planted: [string, ConfigDump, string[]][] = [
  [
    'a retry of inbound requests',
    edited('"num_retries":2', '"num_retries":0'),
    [
      `filter chain virtualInbound > ${encrypted} > ${manager} > route_config > ` +
        'virtual_hosts[inbound] > routes[default] > route > retry_policy > num_retries: ' +
        '2 with full configuration, 0 narrowed',
    ],
  ],
  [
    'an inbound policy',
    edited('{"name":"envoy.filters.http.rbac","typed_config":{"rules":{"action":"DENY"}}},', ''),
    [
      `filter chain virtualInbound > ${encrypted} > ${manager} > ` +
        'http_filters[envoy.filters.http.rbac]: {"name":"envoy.filters.http.rbac",' +
        '"typed_config":{"rules":{"action":"DENY"}}} with full configuration, nothing narrowed',
    ],
  ],
  [
    'a limit of inbound connections',
    edited('"max_connections":7', '"max_connections":1024'),
    [
      'cluster inbound|8080|| > circuit_breakers > thresholds[0] > max_connections: ' +
        '7 with full configuration, 1024 narrowed',
    ],
  ],
  [
    'another match of an inbound chain',
    edited('"destination_port":8080,"transport_protocol":"tls"', '"destination_port":8080,"x":1'),
    [
      `filter chain virtualInbound > ${encrypted}: missing when narrowed`,
      'filter chain virtualInbound > {"destination_port":8080,"x":1}: only there when narrowed',
    ],
  ],
  [
    'an imported HTTP host',
    without('web'),
    [
      `virtual host 80 > ${hostOf('web')}:80: missing when narrowed`,
      `cluster outbound|80||${hostOf('web')}: missing when narrowed`,
    ],
  ],
  [
    'an imported host on a port without protocol',
    without('any'),
    [
      'listener 10.96.0.2_8180: missing when narrowed',
      `filter chain 10.96.0.2_8180 > ${http}: missing when narrowed`,
      'filter chain 10.96.0.2_8180 > anything else: missing when narrowed',
      `routes ${hostOf('any')}:8180: missing when narrowed`,
      `virtual host ${hostOf('any')}:8180 > ${hostOf('any')}:8180: missing when narrowed`,
      `cluster outbound|8180||${hostOf('any')}: missing when narrowed`,
    ],
  ],
  [
    'an imported host found by SNI',
    without('out'),
    [
      'listener 0.0.0.0_443: missing when narrowed',
      `filter chain 0.0.0.0_443 > {"server_names":["${hostOf('out')}"]}: missing when narrowed`,
      'filter chain 0.0.0.0_443 > anything else: missing when narrowed',
      `cluster outbound|443||${hostOf('out')}: missing when narrowed`,
    ],
  ],
  [
    'a rule for connections',
    edited(`"cluster":"outbound|3306||${hostOf('db')}"`, '"cluster":"outbound|3306||elsewhere"'),
    [
      'filter chain 10.96.0.3_3306 > anything else > filters[envoy.filters.network.tcp_proxy] > ' +
        `typed_config > cluster: "outbound|3306||${hostOf('db')}" with full configuration, ` +
        '"outbound|3306||elsewhere" narrowed',
    ],
  ],
  [
    'a name of a host',
    edited(`"domains":["${hostOf('web')}","10.96.0.1"]`, `"domains":["${hostOf('web')}"]`),
    [
      `virtual host 80 > ${hostOf('web')}:80 > domains: ["${hostOf('web')}","10.96.0.1"] with ` +
        `full configuration, ["${hostOf('web')}"] narrowed`,
    ],
  ],
  [
    'a timeout',
    edited('"timeout":"0s"', '"timeout":"15s"'),
    [
      `virtual host 80 > ${hostOf('web')}:80 > routes[default] > route > timeout: "0s" with full ` +
        'configuration, "15s" narrowed',
    ],
  ],
  [
    'where unknown calls go',
    edited('"route":{"cluster":"PassthroughCluster"}', '"route":{"cluster":"elsewhere"}'),
    [
      'virtual host 80 > allow_any > routes[default] > route > cluster: "PassthroughCluster" with ' +
        'full configuration, "elsewhere" narrowed',
    ],
  ],
  [
    'a listener that a Sidecar binds to a port',
    edited('"127.0.0.1_9999","active_state":{"listener":', '"127.0.0.1_9999","old_state":{"x":'),
    [
      'listener 127.0.0.1_9999: missing when narrowed',
      'filter chain 127.0.0.1_9999 > anything else: missing when narrowed',
    ],
  ],
  [
    'a filter of another product',
    edited('"ecds_filter":{"name":"theirs"', '"ecds_filter":{"name":"another"'),
    ['filter theirs: missing when narrowed', 'filter another: only there when narrowed'],
  ],
  [
    'an inspector that a chain asks for',
    edited('"listener_filters":[{"name":"envoy.filters.listener.tls_inspector"}],', ''),
    [
      'listener 0.0.0.0_443 > listener_filters: [{"name":"envoy.filters.listener.tls_inspector"}] ' +
        'with full configuration, nothing narrowed',
    ],
  ],
  [
    'a host that full configuration does not have',
    dumpOf({ ...narrow, hosts: [...imported, host('new', 'tcp', 9000, '10.96.9.9')] }),
    [
      'listener 10.96.9.9_9000: only there when narrowed',
      'filter chain 10.96.9.9_9000 > anything else: only there when narrowed',
      `cluster outbound|9000||${hostOf('new')}: only there when narrowed`,
    ],
  ],
];

test.each(planted)('%s is reported by name', (_what, after, told) => {
  expect(differencesIn(dumpOf(full), after)).toEqual(told);
});

const sidecarIn = (name: string) => {
  const config = `/apis/networking.istio.io/v1/namespaces/shop/sidecar/${name}`;
  return edited(
    '"retry_policy":{',
    `"metadata":{"filter_metadata":{"istio":{"config":"${config}"}}},` +
      `"decorator":{"operation":"${name}.shop:8080/*"},"retry_policy":{`,
  );
};

test('the Sidecar may have another name if it is ours, and nobody else’s', () => {
  const { differences, excused } = compare(sidecarIn('default'), sidecarIn('lazyscope-web'));
  expect(differences).toEqual([]);
  const part = `filter chain virtualInbound > ${encrypted}`;
  const reason = 'name of the Sidecar';
  expect(excused.filter((each) => each.reason === reason)).toEqual([
    { part, reason },
    { part, reason },
  ]);
  expect(differencesIn(sidecarIn('default'), sidecarIn('other'))).toHaveLength(2);
});

test('a chain that passes on to an egressProxy in the scope is not there for the proxy', () => {
  const [before, after] = [full, narrow].map((proxy) =>
    JSON.parse(
      JSON.stringify(dumpOf(proxy)).replaceAll(
        '"cluster":"PassthroughCluster"',
        `"cluster":"outbound|80||${hostOf('web')}"`,
      ),
    ),
  );
  expect(differencesIn(before, after)).toEqual([]);
});

test('routes that no listener takes any more are not looked at', () => {
  const gone = '"route_config":{"name":"81","virtual_hosts":[]},"version_info":"1"';
  const before = edited('"dynamic_route_configs":[', `"dynamic_route_configs":[{${gone}},`, {
    ...{ hosts: imported, sentinel },
  });
  expect(differencesIn(before, dumpOf(narrow))).toEqual([]);
});

test('routes in another order are reported, because the first match counts', () => {
  const text = JSON.stringify(dumpOf(narrow));
  const routes =
    /\{"name":"reads"[^[]*?\},\{"name":"default","match":\{"prefix":"\/"\},"route":\{[^}]*\}\}/;
  const after = text.replace(routes, (both) => {
    const [first, second] = JSON.parse(`[${both}]`);
    return JSON.stringify([second, first]).slice(1, -1);
  });
  expect(differencesIn(dumpOf(full), JSON.parse(after))).toEqual([
    expect.stringMatching(/^virtual host .* > routes > order: .*"reads","default".* narrowed$/),
  ]);
});
