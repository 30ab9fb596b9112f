import fc from 'fast-check';
import type { UnknownCall } from '../../../../companion/core/first-call/resolve.ts';
import { farHostObject } from '../../../../companion/core/mesh/far-host.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { istio, pod, service, slice } from '../core/objects.ts';

/** Random meshes of few names and addresses, so that objects meet, and calls in these meshes. */

export const namespaces = ['shop', 'bank', 'other'] as const;
export const gatewayHost = 'lazyscope-egress.lazyscope-system.svc.cluster.local';
const owners = fc.constantFrom(...namespaces, 'istio-system');
const names = fc.constantFrom('a', 'b', 'c');
const clusterIp = fc.constantFrom('10.96.0.1', '10.96.0.2', '240.1.0.1');
const podIp = fc.constantFrom('10.1.0.1', '10.1.0.2', '10.1.0.3', '10.1.0.4');
const exports = fc.constantFrom<string[] | undefined>(undefined, ['.'], ['shop'], ['*'], ['bank']);
const labels = fc.constantFrom<Record<string, string>>({ app: 'a' }, { app: 'b' });
const hostNames = fc.constantFrom(
  'a.shop.svc.cluster.local',
  '*.bank.svc.cluster.local',
  'x.example.com',
  '*.example.com',
  'a',
);
const created = fc.constantFrom('', '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z');
const port = fc.constantFrom(80, 81, 5432);
const mode = fc.constantFrom('DISABLE', 'SIMPLE', 'ISTIO_MUTUAL');

const path = fc.tuple(owners, names).map((parts) => parts.join('/'));

const services = fc
  .record({
    path,
    ip: fc.option(clusterIp, { nil: undefined }),
    externalName: fc.constantFrom(
      undefined,
      undefined,
      'a.shop.svc.cluster.local',
      'x.example.com',
    ),
    exportTo: fc.constantFrom(undefined, '.', 'shop', 'bank,shop'),
    isTcp: fc.boolean(),
    nodeLocal: fc.boolean(),
    created,
  })
  .map(({ path: at, isTcp, nodeLocal, created: since, ip, exportTo, externalName }) => {
    const prefix = isTcp ? 'tcp' : 'http';
    const ports = [80, 81, 5432].map((each) => ({ name: `${prefix}-${each}`, port: each }));
    const object = service(at, {
      ports,
      ...(ip && { ip }),
      ...(exportTo && { exportTo }),
      ...(externalName && { externalName }),
    });
    const metadata = { ...object.metadata, ...(since && { creationTimestamp: since }) };
    const spec = {
      ...object.spec,
      selector: { app: 'a' },
      ...(nodeLocal && { internalTrafficPolicy: 'Local' }),
    };
    return { ...object, metadata, spec };
  });

const pods = fc
  .record({
    path,
    ip: podIp,
    labels,
    tlsMode: fc.constantFrom('istio', ''),
    network: fc.constantFrom(undefined, undefined, 'east'),
    revision: fc.constantFrom(undefined, undefined, 'canary'),
    captured: fc.boolean(),
    account: fc.constantFrom('x', 'y'),
  })
  .map(({ path: at, network, revision, captured, ...rest }) =>
    pod(at, {
      ...rest,
      ...(network && { network }),
      ...(revision && { revision }),
      ...(captured && { annotations: { 'ambient.istio.io/redirection': 'enabled' } }),
    }),
  );

const slices = fc
  .record({ path, ips: fc.uniqueArray(podIp, { maxLength: 3 }), ready: fc.boolean() })
  .map(({ path: at, ips, ready }) =>
    slice(
      at,
      ips.map((ip, index) => ({ ip, ready: ready || index === 0 })),
      [80, 81].map((each) => ({ name: `http-${each}`, port: 8000 + each })),
    ),
  );

const entries = fc
  .record({
    path,
    hosts: fc.uniqueArray(hostNames, { minLength: 1, maxLength: 2 }),
    exportTo: exports,
    addresses: fc.constantFrom([], ['240.0.0.0/8'], ['240.1.0.0/16'], ['10.96.0.1']),
    resolution: fc.constantFrom('NONE', 'STATIC', 'DNS'),
    location: fc.constantFrom('MESH_INTERNAL', 'MESH_EXTERNAL'),
    endpoints: fc.constantFrom([], [{ address: '10.1.0.1', serviceAccount: 'x' }]),
    selects: fc.boolean(),
    protocol: fc.constantFrom('HTTP', 'TCP'),
    created,
  })
  .map(({ path: at, selects, protocol, created: since, ...rest }) => {
    const ports = [80, 5432].map((number) => ({ number, name: `p-${number}`, protocol }));
    const selector = selects ? { workloadSelector: { labels: { app: 'a' } } } : {};
    return istio('ServiceEntry', at, { ...rest, ports, ...selector }, since);
  });

const virtualServices = fc
  .record({
    path,
    hosts: fc.uniqueArray(hostNames, { minLength: 1, maxLength: 2 }),
    exportTo: exports,
    gateways: fc.constantFrom(undefined, ['mesh'], ['shop/gate']),
  })
  .map(({ path: at, ...spec }) => istio('VirtualService', at, { ...spec, http: [] }));

const destinationRules = fc
  .record({
    path,
    host: hostNames,
    exportTo: exports,
    mode: fc.option(mode, { nil: undefined }),
    portMode: fc.option(fc.record({ port, mode }), { nil: undefined }),
    hashed: fc.constantFrom(undefined, undefined, 'all', 80, 81),
    selector: fc.option(labels, { nil: undefined }),
    created,
  })
  .map(({ path: at, host, exportTo, mode: all, portMode, hashed, selector, created: since }) => {
    const loadBalancer = { consistentHash: { httpHeaderName: 'x-user' } };
    const ports = [
      ...(portMode ? [{ port: { number: portMode.port }, tls: { mode: portMode.mode } }] : []),
      ...(typeof hashed === 'number' ? [{ port: { number: hashed }, loadBalancer }] : []),
    ];
    const spec = {
      ...{ host, exportTo },
      ...(selector && { workloadSelector: { matchLabels: selector } }),
      trafficPolicy: {
        ...(all && { tls: { mode: all } }),
        ...(hashed === 'all' && { loadBalancer }),
        ...(ports.length > 0 && { portLevelSettings: ports }),
      },
    };
    return istio('DestinationRule', at, spec, since);
  });

const peerAuthentications = fc
  .record({
    path,
    mode: fc.constantFrom('STRICT', 'DISABLE', 'PERMISSIVE', 'UNSET'),
    selector: fc.option(labels, { nil: undefined }),
    portMode: fc.option(fc.record({ port: fc.constantFrom(80, 8080, 8081), mode }), {
      nil: undefined,
    }),
  })
  .map(({ path: at, mode: all, selector, portMode }) =>
    istio('PeerAuthentication', at, {
      mtls: { mode: all },
      ...(selector && { selector: { matchLabels: selector } }),
      ...(portMode && { portLevelMtls: { [portMode.port]: { mode: portMode.mode } } }),
    }),
  );

const workloadEntries = fc
  .record({ path, address: podIp, labels, serviceAccount: fc.constantFrom('x', '') })
  .map(({ path: at, ...spec }) => istio('WorkloadEntry', at, spec));

const farHosts = fc
  .record({
    host: fc.constantFrom('far.bank.svc.cluster.local', 'far.example.com'),
    from: fc.uniqueArray(fc.constantFrom(...namespaces), { minLength: 1 }),
  })
  .map(({ host, from }) => farHostObject(host, [80], from) as KubeObject);

const meshConfigs = fc
  .record({
    name: fc.constantFrom('istio', 'istio-canary'),
    service: fc.constantFrom(undefined, ['.'], ['shop']),
    aliases: fc.constantFrom([], ['td2']),
    networks: fc.boolean(),
    auto: fc.constantFrom(undefined, true, false),
    retries: fc.constantFrom(undefined, { attempts: 0 }, { attempts: 3, retryOn: '5xx' }),
  })
  .map(({ name, service: exportTo, aliases, networks, auto, retries }) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { namespace: 'istio-system', name },
    data: {
      mesh: JSON.stringify({
        defaultServiceExportTo: exportTo,
        trustDomainAliases: aliases,
        enableAutoMtls: auto,
        defaultHttpRetryPolicy: retries,
      }),
      ...(networks && { meshNetworks: JSON.stringify({ networks: { east: {} } }) }),
    },
  }));

const object: fc.Arbitrary<KubeObject> = fc.oneof(
  { weight: 4, arbitrary: services },
  { weight: 3, arbitrary: pods },
  { weight: 3, arbitrary: slices },
  { weight: 3, arbitrary: entries },
  { weight: 2, arbitrary: virtualServices },
  { weight: 3, arbitrary: destinationRules },
  { weight: 2, arbitrary: peerAuthentications },
  workloadEntries,
  farHosts,
  meshConfigs,
);

/** In one order of arrival, and the gateway in most of them. */
export const meshObjects = fc
  .record({ objects: fc.array(object, { maxLength: 16 }), gateway: fc.boolean() })
  .map(({ objects, gateway }) => [
    ...(gateway
      ? [
          service('lazyscope-system/lazyscope-egress', { ip: '10.96.0.9' }),
          pod('lazyscope-system/egress-0', { ip: '10.1.0.9', labels: { app: 'egress' } }),
          slice('lazyscope-system/lazyscope-egress', [{ ip: '10.1.0.9', pod: 'egress-0' }]),
        ]
      : []),
    ...objects,
  ]);

export const calls: UnknownCall[] = [
  ...['a', 'a.bank', 'b.shop.svc', 'a.shop.svc.cluster.local', 'p.a.bank.svc.cluster.local'],
  ...['x.example.com', 'y.example.com', 'c', 'far.bank.svc.cluster.local', 'far.example.com'],
  ...['10.96.0.1', 'nowhere.test'],
].flatMap((authority) =>
  ['10.96.0.1:80', '10.1.0.1:81', '240.1.0.1:80'].map((destination) => ({
    ...{ tcp: false, authority, destination },
  })),
);

export const connections: UnknownCall[] = [
  '10.96.0.1',
  '10.96.0.2',
  '10.1.0.1',
  '10.1.0.2',
  '240.1.0.1',
  '240.2.0.1',
].flatMap((ip) =>
  [80, 5432].map((each) => ({ tcp: true, authority: '', destination: `${ip}:${each}` })),
);
