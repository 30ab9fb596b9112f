import type { KubeObject } from '../../../../companion/kube/object.ts';
import { app, istio, pod } from '../../companion/core/objects.ts';
import { filterParts } from './filter-parts.ts';
import type { Case, Situation } from './situation.ts';

export const object = (kind: string, path: string, rest: object = {}): KubeObject => {
  const [namespace = '', name] = path.split('/');
  const metadata = name ? { namespace, name } : { name: namespace };
  return { apiVersion: 'v1', kind, metadata, ...rest };
};
export const one = (id: string, there: KubeObject, not: KubeObject): Case => [
  id,
  { objects: [there] },
  { objects: [not] },
];
const deployment = (path: string, available: string) =>
  object('Deployment', path, {
    status: { conditions: [{ type: 'Available', status: available, message: '0 of 2 run' }] },
  });
const available = (status: string): Situation => ({
  istiod: { status: { conditions: [{ type: 'Available', status, message: 'none runs' }] } },
});
const resources = (limits: object, requests: object = { memory: '2Gi' }): Situation => ({
  istiod: { resources: { limits, requests } },
});
const image = (tag: string, objects: KubeObject[] = []): Situation => ({
  istiod: { image: `istio/pilot:${tag}` },
  objects,
});
const excluding = [istio('Sidecar', 'shop/default', { egress: [{ hosts: ['*/*', '~big/*'] }] })];

export const stateCases: Case[] = [
  ['istiod-unavailable', available('False'), available('True')],
  ['istiod-cpu-limit', resources({ cpu: '500m' }), resources({ cpu: '1' })],
  ['istiod-no-request', resources({}, { cpu: '1' }), resources({}, { memory: '1Gi' })],
  ['istiod-metadata-pushes', image('1.30.2'), image('1.30.3')],
  ['sidecar-exclusion', image('1.30.5', excluding), image('1.31.0', excluding)],
  ['revision-unread', { istiod: { revision: 'canary' } }, {}],
];

const shop = (labels: object, annotations: object = {}) => ({
  ...object('Namespace', 'shop'),
  metadata: { name: 'shop', labels, annotations } as KubeObject['metadata'],
});
const web = (more: Parameters<typeof pod>[1]) =>
  pod('shop/web', { ip: '10.244.0.1', account: 'web', labels: { app: 'web' }, ...more });
const plugin = (spec: object) => ({
  ...object('WasmPlugin', 'shop/lazyscope', { spec: { sha256: 'a1', ...spec } }),
});
const plain = [
  object('Namespace', 'plain', {
    metadata: { name: 'plain', labels: { 'lazyscope.io/mode': 'observe' } },
  }),
  pod('plain/app', { ip: '10.244.0.7' }),
];

/** A namespace that learns from access logs, and a Service in 10.97.0.0/16. */
const logged = (ranges: string): KubeObject[] => {
  const labels = { 'lazyscope.io/mode': 'observe', 'lazyscope.io/source': 'access-log' };
  const annotations = { 'lazyscope.io/service-cidr': ranges };
  const name = 'lazyscope-access-log';
  return [
    object('Namespace', 'plain', { metadata: { name: 'plain', labels } }),
    pod('plain/app', { ip: '10.244.0.7' }),
    object('EnvoyFilter', `plain/${name}`, { metadata: { namespace: 'plain', name, annotations } }),
    ...app('plain/late', '10.97.0.1', '10.244.0.8'),
  ];
};

export const filterCases: Case[] = [
  ['filter-missing', { objects: plain }, { objects: [...plain, ...filterParts('plain', 'a1')] }],
  one(
    'filter-left-out',
    plugin({ failStrategy: 'FAIL_OPEN', selector: { matchLabels: { app: 'cart' } } }),
    plugin({ failStrategy: 'FAIL_OPEN' }),
  ),
  one('filter-fail-closed', plugin({}), plugin({ failStrategy: 'FAIL_OPEN' })),
  [
    'filter-versions',
    { objects: [...plain, ...filterParts('plain', 'b2')] },
    { objects: [...plain, ...filterParts('plain', 'a1')] },
  ],
  one(
    'mode-unknown',
    shop({ 'lazyscope.io/mode': 'enforced' }),
    shop({ 'lazyscope.io/mode': 'off' }),
  ),
  one(
    'first-call-unknown',
    shop({}, { 'lazyscope.io/first-call': 'wait' }),
    shop({}, { 'lazyscope.io/first-call': 'auto' }),
  ),
  one(
    'outbound-excluded',
    web({ annotations: { 'traffic.sidecar.istio.io/excludeOutboundPorts': '5432' } }),
    web({ annotations: { 'traffic.sidecar.istio.io/includeOutboundIPRanges': '*' } }),
  ),
  [
    'service-outside-ranges',
    { objects: logged('10.96.0.0/16,none/0') },
    { objects: logged('10.96.0.0/16,10.97.0.0/16') },
  ],
  one('not-intercepted', web({ interception: 'NONE' }), web({ interception: 'TPROXY' })),
];

const lease = (renewTime: string) =>
  object('Lease', 'lazyscope-system/lazyscope-controller', {
    spec: { holderIdentity: 'lazyscope-controller-1', renewTime },
  });
const policy = (egress: object[]) =>
  object('NetworkPolicy', 'shop/deny', {
    spec: { podSelector: {}, policyTypes: ['Egress'], egress },
  });

export const companionCases: Case[] = [
  one('companion-missing', web({ node: 'node-2' }), web({ node: 'node-1' })),
  one(
    'controller-unavailable',
    deployment('lazyscope-system/lazyscope-controller', 'False'),
    deployment('lazyscope-system/lazyscope-controller', 'True'),
  ),
  one(
    'gateway-unavailable',
    deployment('lazyscope-system/lazyscope-egress', 'False'),
    deployment('lazyscope-system/lazyscope-egress', 'True'),
  ),
  one('no-leader', lease('2026-11-28T11:50:00.000000Z'), lease('2026-11-28T11:59:50.000000Z')),
  one('egress-denied', policy([]), policy([{}])),
];

const custom = object('AuthorizationPolicy', 'shop/ask', {
  spec: { action: 'CUSTOM', provider: { name: 'opa' }, rules: [{}] },
});
const logging = (path: string, ...names: string[]) =>
  object('Telemetry', path, {
    spec: { accessLogging: [{ providers: names.map((name) => ({ name })) }] },
  });

export const providerCases: Case[] = [
  [
    'custom-provider-missing',
    { objects: [custom] },
    { objects: [custom], mesh: { extensionProviders: [{ name: 'opa', envoyExtAuthzGrpc: {} }] } },
  ],
  [
    'telemetry-replaces-logs',
    { objects: [logging('istio-system/all', 'otel'), logging('shop/own', 'files')] },
    { objects: [logging('istio-system/all', 'otel'), logging('shop/own', 'files', 'otel')] },
  ],
];

export const proxied = (container: object, status: object = {}, annotations = {}): KubeObject => {
  const made = web({ annotations });
  const containers = [{ name: 'istio-proxy', ...container }];
  const containerStatuses = [{ name: 'istio-proxy', ...status }];
  return {
    ...made,
    spec: { ...made.spec, containers },
    status: { ...made.status, containerStatuses },
  };
};
const ended = (reason: string) => ({ lastState: { terminated: { reason } } });
const four = Object.fromEntries(
  ['proxyCPU', 'proxyCPULimit', 'proxyMemory', 'proxyMemoryLimit'].map((key) => [
    `sidecar.istio.io/${key}`,
    '1',
  ]),
);
const scaler = (type: string): KubeObject =>
  object('HorizontalPodAutoscaler', 'shop/web', {
    spec: {
      scaleTargetRef: { kind: 'Deployment', name: 'web' },
      metrics: [{ type, resource: { name: 'cpu', target: { type: 'Utilization' } } }],
    },
  });
const owned = web({ owner: { kind: 'StatefulSet', name: 'web' } });

export const resourceCases: Case[] = [
  one(
    'resource-annotations',
    web({ annotations: { 'sidecar.istio.io/proxyCPU': '10m' } }),
    web({ annotations: four }),
  ),
  one('proxy-oom', proxied({}, ended('OOMKilled')), proxied({}, ended('Completed'))),
  one('proxy-restarts', proxied({}, { restartCount: 6 }), proxied({}, { restartCount: 5 })),
  one(
    'proxy-no-request',
    proxied({ resources: { requests: { cpu: '100m' } } }),
    proxied({ resources: { requests: { memory: '128Mi' } } }),
  ),
  [
    'hpa-counts-proxy',
    { objects: [scaler('Resource'), owned] },
    { objects: [scaler('ContainerResource'), owned] },
  ],
];

const section = (type: string, rest: object) => ({
  '@type': `type.googleapis.com/envoy.admin.v3.${type}`,
  ...rest,
});
const listener = (cluster: string) => ({
  active_state: {
    listener: { name: '0.0.0.0_80', filter_chains: [{ filters: [{ typed_config: { cluster } }] }] },
  },
});
const clusters = section('ClustersConfigDump', {
  dynamic_active_clusters: [{ cluster: { name: 'outbound|80||cart' } }],
});
const dumpOf = (...listeners: object[]): Situation => ({
  dumps: {
    'shop/web': {
      configs: [clusters, section('ListenersConfigDump', { dynamic_listeners: listeners })],
    },
  },
});

export const deepCases: Case[] = [
  [
    'dangling-cluster',
    dumpOf(listener('outbound|80||gone')),
    dumpOf(listener('outbound|80||cart')),
  ],
  [
    'refused-config',
    dumpOf({ ...listener('outbound|80||cart'), error_state: { details: 'no such filter' } }),
    dumpOf(listener('outbound|80||cart')),
  ],
];
