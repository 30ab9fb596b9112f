import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import { clustersIn } from '../../../../companion/core/mesh/service-reference.ts';
import { providerHosts } from '../../../../companion/core/scope/providers.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { istio, pod, service } from './objects.ts';

const mesh = (providers: object[], name = 'istio'): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { namespace: 'istio-system', name },
  data: { mesh: JSON.stringify({ extensionProviders: providers }) },
});

/** The entries that a workload `app: web` of `shop` gets, with their reasons. */
function found(objects: KubeObject[], labels = { app: 'web' }): Record<string, string> {
  const catalog = createCatalog({ clusterDomain: 'cluster.local' });
  for (const object of objects) catalog.upsert(object);
  const input = { namespace: 'shop', rootNamespace: 'istio-system', labels: [labels] };
  return Object.fromEntries(
    [...providerHosts(catalog, input)].map(({ entry, message }) => [entry, message]),
  );
}

const opa = service('auth/opa', { ip: '10.96.0.9' });
const entry = 'auth/opa.auth.svc.cluster.local';
const host = 'opa.auth.svc.cluster.local';

/** Every type of provider in istio.io/api, with the fields that name a host. */
describe.each([
  ['envoyExtAuthzHttp', { service: host, port: 8080 }],
  ['envoyExtAuthzGrpc', { service: host, port: 9191 }],
  ['envoy_ext_authz_grpc', { service: host, port: 9191 }],
  ['zipkin', { service: host, port: 9411 }],
  ['lightstep', { service: host, port: 8080, accessToken: 'x' }],
  ['datadog', { service: host, port: 8126 }],
  ['opencensus', { service: host, port: 55678 }],
  ['skywalking', { service: host, port: 11800 }],
  ['opentelemetry', { service: host, port: 4317 }],
  ['opentelemetry', { dynatraceSampler: { tenant: 't', httpService: { service: host } } }],
  ['envoyHttpAls', { service: host, port: 9000 }],
  ['envoyTcpAls', { service: host, port: 9000 }],
  ['envoyOtelAls', { service: host, port: 4317 }],
  ['sds', { name: 'sds', service: host }],
  ['ofALaterRelease', { service: host }],
])('a provider of type %s', (type, settings) => {
  test.each([
    ['is imported', [opa]],
    ['is imported, even if it is not exported', [service('auth/opa', { exportTo: '.' })]],
  ])('%s', (_what, objects) => {
    const message = `provider mine (${type}) of ConfigMap istio is this host`;
    expect(found([...objects, mesh([{ name: 'mine', [type]: settings }])])).toEqual({
      [entry]: message,
    });
  });
});

test.each([
  ['stackdriver', {}],
  ['prometheus', {}],
  ['envoyFileAccessLog', { path: '/dev/stdout' }],
])('a provider of type %s calls no host', (type, settings) => {
  expect(found([mesh([{ name: 'mine', [type]: settings }])])).toEqual({});
});

test.each([
  ['with its namespace', `auth/${host}`, [entry]],
  ['with a namespace that does not have it', `shop/${host}`, [`shop/${host}`]],
  ['in capitals', 'OPA.auth.svc.cluster.local', [entry]],
  ['that only istiod knows', 'otel.remote.svc.cluster.local', ['*/otel.remote.svc.cluster.local']],
  ['of a ServiceEntry', 'auth.example.com', ['edge/auth.example.com']],
  ['that is an address', '10.0.0.1', []],
  ['that is no name', 'a b', []],
  ['with too many parts', 'a/b/c', []],
  ['that is empty', '', []],
])('a service %s', (_what, named, entries) => {
  const outside = istio('ServiceEntry', 'edge/out', {
    hosts: ['auth.example.com'],
    ports: [{ number: 443, protocol: 'HTTPS' }],
  });
  const providers = [{ name: 'mine', envoyExtAuthzHttp: { service: named } }];
  expect(Object.keys(found([opa, outside, mesh(providers)]))).toEqual(entries);
});

test('the providers of every revision that configures sidecars of the namespace count', () => {
  const named = (revision: string) => [
    { name: revision, zipkin: { service: `${revision}.auth.svc.cluster.local` } },
  ];
  const objects = [
    mesh(named('old')),
    mesh(named('new'), 'istio-new'),
    mesh(named('other'), 'istio-x'),
  ];
  const pods = ['default', 'new'].map((revision) => pod(`shop/${revision}`, { revision }));
  expect(Object.keys(found([...objects, ...pods]))).toEqual([
    '*/old.auth.svc.cluster.local',
    '*/new.auth.svc.cluster.local',
  ]);
});

const cluster = `outbound|8081||${host}`;
const filter = (where: string, spec: object = {}, annotations?: Record<string, string>) => {
  const object = istio('EnvoyFilter', where, spec);
  return annotations ? { ...object, metadata: { ...object.metadata, annotations } } : object;
};
const names = {
  configPatches: [{ patch: { value: { grpc_service: { cluster_name: cluster } } } }],
};

test.each([
  ['of the namespace', filter('shop/limit', names)],
  ['of the root namespace', filter('istio-system/limit', names)],
  [
    'for the workload',
    filter('shop/l', { ...names, workloadSelector: { labels: { app: 'web' } } }),
  ],
  ['with a subset', filter('shop/limit', { any: cluster.replace('||', '|v1|') })],
  ['in the form of a server name', filter('shop/limit', { any: `outbound_.8081_._.${host}` })],
  ['in a program', filter('shop/lua', { inlineCode: `handle:httpCall("${cluster}", {})` })],
  ['by annotation', filter('shop/l', {}, { 'envoyfilter.istio.io/referenced-services': host })],
  [
    'by annotation, among others',
    filter('shop/l', {}, { 'envoyfilter.istio.io/referenced-services': `auth/${host}, ${host}` }),
  ],
  ['of a plugin', istio('WasmPlugin', 'shop/p', { pluginConfig: { upstream: cluster } })],
  ['of an extension', istio('TrafficExtension', 'shop/p', { lua: { inlineCode: `"${cluster}"` } })],
  [
    'of keys',
    istio('RequestAuthentication', 'shop/p', {
      selector: { matchLabels: { app: 'web' } },
      jwtRules: [{ issuer: 'x', jwksUri: `http://${host}:8080/keys` }],
    }),
  ],
])('a service that is named %s is imported', (_where, object) => {
  const { kind, metadata } = object;
  expect(found([opa, object])).toEqual({
    [entry]: `${kind} ${metadata.namespace}/${metadata.name} names this host`,
  });
});

test.each([
  ['of another namespace', filter('bank/limit', names)],
  ['for other pods', filter('shop/l', { ...names, workloadSelector: { labels: { app: 'db' } } })],
  ['for a gateway', filter('shop/l', { ...names, targetRefs: [{ kind: 'Gateway', name: 'g' }] })],
  ['in no known form', filter('shop/limit', { any: host })],
  [
    'of keys that are written out',
    istio('RequestAuthentication', 'shop/p', { jwtRules: [{ issuer: 'x', jwks: '{}' }] }),
  ],
])('a service that is named %s is not', (_where, object) => {
  expect(found([opa, object])).toEqual({});
});

test('an import goes with the object that names the service', () => {
  const catalog = createCatalog({ clusterDomain: 'cluster.local' });
  const empty = catalog.sizes();
  const objects = [filter('shop/limit', names), istio('WasmPlugin', 'shop/p', { any: cluster })];
  for (const object of objects) catalog.upsert(object);
  expect(catalog.sizes().references).toBe(1);
  for (const object of objects) catalog.remove(object);
  expect(catalog.sizes()).toEqual(empty);
});

const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,8}[a-z0-9])?$/);
const hosts = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join('.'));
const subsets = fc.constantFrom('', 'v1', 'v-2');
const ports = fc.integer({ min: 1, max: 65_535 });
const words = fc.stringMatching(/^[ a-z{}:",\\]{0,20}$/);

test('every name of a cluster is found, whatever surrounds it', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(words, ports, subsets, hosts)), (parts) => {
      const value = parts.flatMap(([word, port, subset, each]) => [
        { [word]: `outbound|${port}|${subset}|${each}` },
        `${word} "outbound_.${port}_.${subset}_.${each}" ${word}`,
      ]);
      const expected = parts.flatMap(([, , , each]) => [each, each]);
      expect(clustersIn(JSON.stringify(value))).toEqual(expected);
    }),
  );
});
