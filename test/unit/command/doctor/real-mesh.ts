import type { KubeObject } from '../../../../companion/kube/object.ts';

/** Makes objects as a real API server takes them. */

const apiVersions: Record<string, string> = {
  AuthorizationPolicy: 'security.istio.io/v1',
  Deployment: 'apps/v1',
  EnvoyFilter: 'networking.istio.io/v1alpha3',
  HorizontalPodAutoscaler: 'autoscaling/v2',
  Lease: 'coordination.k8s.io/v1',
  NetworkPolicy: 'networking.k8s.io/v1',
  ServiceEntry: 'networking.istio.io/v1',
  Sidecar: 'networking.istio.io/v1',
  Telemetry: 'telemetry.istio.io/v1',
  WasmPlugin: 'extensions.istio.io/v1alpha1',
  WorkloadScope: 'lazyscope.io/v1alpha1',
};

type Metadata = Partial<KubeObject['metadata']>;

export function object(
  kind: string,
  path: string,
  rest: object = {},
  more: Metadata = {},
): KubeObject {
  const [first = '', name] = path.split('/');
  const metadata = { ...(name ? { namespace: first, name } : { name: first }), ...more };
  return { apiVersion: apiVersions[kind] ?? 'v1', kind, metadata, ...rest };
}

export const namespace = (name: string, labels = {}, annotations = {}) =>
  object('Namespace', name, {}, { labels, annotations });
export const enabled = (name: string, mode = 'observe') =>
  namespace(name, { 'lazyscope.io/mode': mode });

export const digestOf = (digit: string) => digit.repeat(64);
const url = 'http://lazyscope-controller.lazyscope-system:9473/filter.wasm';

export function plugin(where: string, name: string, spec: object = {}): KubeObject {
  const pinned = { url, sha256: digestOf('a'), failStrategy: 'FAIL_OPEN', ...spec };
  return object('WasmPlugin', `${where}/${name}`, { spec: pinned });
}

/** The parts of the filter in a namespace; `spec` changes its two plugins. */
export const filter = (where: string, spec: object = {}) => [
  plugin(where, 'lazyscope', spec),
  plugin(where, 'lazyscope-tcp', spec),
  object('EnvoyFilter', `${where}/lazyscope`, { spec: { configPatches: [] } }),
];

export type PodOptions = {
  annotations?: Record<string, string>;
  owner?: { apiVersion: string; kind: string; name: string };
  node?: string;
  nodeSelector?: Record<string, string>;
  proxy?: object;
  /** Of the proxy's container. */
  status?: object;
};

export const requests = { cpu: '100m', memory: '128Mi' };

/** A running pod with a sidecar, as the injector makes it. */
export function web(path: string, options: PodOptions = {}): KubeObject {
  const { annotations, owner, node = 'node-1', nodeSelector, proxy, status } = options;
  const ownerReferences = owner && [{ ...owner, uid: `uid-${owner.name}`, controller: true }];
  const metadata = {
    labels: { app: 'web', 'security.istio.io/tlsMode': 'istio' },
    annotations: { 'sidecar.istio.io/status': '{}', ...annotations },
    ...(ownerReferences && { ownerReferences }),
  };
  const ran = { image: 'proxyv2', imageID: '', ready: true, restartCount: 0, ...status };
  return object(
    'Pod',
    path,
    {
      spec: {
        nodeName: node,
        ...(nodeSelector && { nodeSelector }),
        containers: [
          { name: 'app', image: 'app' },
          { name: 'istio-proxy', image: 'proxyv2', resources: { requests }, ...proxy },
        ],
      },
      status: { phase: 'Running', containerStatuses: [{ name: 'istio-proxy', ...ran }] },
    },
    metadata,
  );
}

export const condition = (type: string, status: string, reason: string, message: string) => ({
  ...{ type, status, reason, message },
  lastTransitionTime: '2026-11-28T10:00:00Z',
});

export function deployment(path: string, options: Record<string, unknown> = {}): KubeObject {
  const {
    labels = {},
    container = {},
    available = 'True',
  } = options as {
    labels?: Record<string, string>;
    container?: object;
    available?: string;
  };
  const [, name = ''] = path.split('/');
  const selector = { app: name };
  const containers = [{ name: 'main', image: 'image', ...container }];
  const template = { metadata: { labels: selector }, spec: { containers } };
  const state = condition('Available', available, 'Minimum', '0 of 2 run');
  return object(
    'Deployment',
    path,
    {
      spec: { selector: { matchLabels: selector }, template },
      status: { conditions: [{ ...state, lastUpdateTime: state.lastTransitionTime }] },
    },
    { labels },
  );
}

export function istiod(name: string, container: object = {}, more: Record<string, unknown> = {}) {
  const { revision, ...rest } = more;
  const labels = { app: 'istiod', ...(revision ? { 'istio.io/rev': revision } : {}) };
  const main = { name: 'discovery', image: 'istio/pilot:1.31.0', resources: { requests } };
  return deployment(`istio-system/${name}`, {
    ...{ labels, container: { ...main, ...container } },
    ...rest,
  });
}

export type Scope = { spec?: object; status?: object; conditions?: object[] };

export function scope(path: string, { spec, status, conditions = [] }: Scope = {}): KubeObject {
  return object('WorkloadScope', path, {
    spec: { selector: { matchLabels: { app: 'web' } }, ...spec },
    status: {
      ...{ mode: 'observe', owners: ['web'], learningSince: '2026-11-27T08:00:00Z' },
      hosts: [],
      ...status,
      conditions: [condition('Ready', 'True', 'Ready', 'Nothing prevents it.'), ...conditions],
    },
  });
}

export const meshConfig = (text: string): KubeObject =>
  object('ConfigMap', 'istio-system/istio', { data: { mesh: text } });

export const renewed = (renewTime: string) =>
  object('Lease', 'lazyscope-system/lazyscope-controller', {
    spec: { holderIdentity: 'lazyscope-controller-1', leaseDurationSeconds: 15, renewTime },
  });
const able = { 'feature.node.kubernetes.io/cpu-cpuid.AVX512IFMA': 'true' };

/** At 2026-11-28T12:00:00Z. */
export const healthyObjects: KubeObject[] = [
  ...[namespace('istio-system'), namespace('lazyscope-system'), enabled('shop', 'enforce')],
  ...[meshConfig('accessLogFile: /dev/stdout'), istiod('istiod')],
  object('Node', 'node-1', {}, { labels: able }),
  deployment('lazyscope-system/lazyscope-controller'),
  deployment('lazyscope-system/lazyscope-egress'),
  renewed('2026-11-28T11:59:50.000000Z'),
  object(
    'Pod',
    'lazyscope-system/lazyscope-node-0',
    {
      spec: { nodeName: 'node-1', containers: [{ name: 'companion', image: 'companion' }] },
      status: { phase: 'Running' },
    },
    { labels: { 'app.kubernetes.io/name': 'lazyscope-node' } },
  ),
  ...filter('shop'),
  web('shop/web-1'),
  object('Service', 'shop/web', {
    spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80 }] },
  }),
  scope('shop/web', {
    status: {
      mode: 'enforce',
      hosts: [{ host: 'shop/web.shop.svc.cluster.local', reason: 'learned' }],
    },
    conditions: [condition('Scoped', 'True', 'Enforced', 'Its scope is in force.')],
  }),
  object('Sidecar', 'shop/lazyscope-web', {
    spec: {
      workloadSelector: { labels: { app: 'web' } },
      egress: [{ hosts: ['shop/web.shop.svc.cluster.local'] }],
    },
  }),
];

export type ObjectCase = {
  objects: KubeObject[];
  /** What the check says of them: the subject, and words with the names and values. */
  subject: string;
  words: string;
};

export type Entry = [id: string, make: (namespace: string) => ObjectCase];

/** A namespace in mode observe with a pod and the filter. */
export const inEnabled = (
  id: string,
  words: string,
  options: PodOptions,
  subject?: string,
): Entry => [
  id,
  () => ({
    objects: [enabled(id), ...filter(id), web(`${id}/web-1`, options)],
    ...{ subject: subject ?? `Pod ${id}/web-1`, words },
  }),
];
