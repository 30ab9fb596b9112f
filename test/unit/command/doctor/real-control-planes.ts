import type { KubeObject } from '../../../../companion/kube/object.ts';
import {
  deployment,
  type Entry,
  enabled,
  inEnabled,
  istiod,
  meshConfig,
  namespace,
  type ObjectCase,
  object,
  renewed,
  requests,
} from './real-mesh.ts';

/** Objects of the control planes of Istio and Lazyscope, and of the mesh configuration. */

const env = (id: string, name: string, value: string): Entry => [
  id,
  () => ({
    objects: [istiod(id, { env: [{ name, value }] })],
    subject: `Deployment istio-system/${id}`,
    words: `${name} is ${value}: `,
  }),
];
export const settings: Entry[] = [
  env('istiod-lazy-evaluation', 'ENABLE_LAZY_SIDECAR_EVALUATION', 'false'),
  env('istiod-scope-concurrency', 'PILOT_CONVERT_SIDECAR_SCOPE_CONCURRENCY', '4'),
  env('istiod-cache', 'PILOT_ENABLE_CDS_CACHE', 'false'),
  env('istiod-delta', 'ISTIO_DELTA_XDS', '0'),
  env('istiod-analysis', 'PILOT_ENABLE_ANALYSIS', 'true'),
  env('istiod-removed-setting', 'PILOT_PARTIAL_FULL_PUSHES', 'true'),
  env('istiod-debounce', 'PILOT_DEBOUNCE_AFTER', '1s'),
  env('istiod-eds-debounce', 'PILOT_ENABLE_EDS_DEBOUNCE', 'f'),
  env('istiod-route-collapse', 'PILOT_ENABLE_ROUTE_COLLAPSE_OPTIMIZATION', 'false'),
  env('istiod-cache-size', 'PILOT_XDS_CACHE_SIZE', '10000'),
  env('istiod-push-throttle', 'PILOT_PUSH_THROTTLE', '5'),
  env('istiod-request-rate', 'PILOT_MAX_REQUESTS_PER_SECOND', '10'),
  env('istiod-debug-auth', 'ENABLE_DEBUG_ENDPOINT_AUTH', 'false'),
  env('istiod-unsafe', 'UNSAFE_ENABLE_ADMIN_ENDPOINTS', 'true'),
  env('istiod-open', 'XDS_AUTH', 'false'),
  env('istiod-trust-domain', 'PILOT_SKIP_VALIDATE_TRUST_DOMAIN', 'true'),
];

const state = (id: string, words: string, container: object, more = {}): Entry => [
  id,
  () => ({
    objects: [istiod(id, container, more)],
    ...{ subject: `Deployment istio-system/${id}`, words },
  }),
];
const oldImage = 'istio/pilot:1.30.2';
export const istiods: Entry[] = [
  state('istiod-unavailable', 'not available: 0 of 2 run', {}, { available: 'False' }),
  state('istiod-cpu-limit', 'its CPU limit is 500m', {
    resources: { limits: { cpu: '500m' }, requests },
  }),
  state('istiod-no-request', 'it requests no memory', { resources: {} }),
  state('istiod-metadata-pushes', `${oldImage} pushes whenever`, { image: oldImage }),
  state('revision-unread', 'revision canary is not in', {}, { revision: 'canary' }),
  [
    'sidecar-exclusion',
    (id) => ({
      objects: [
        namespace(id),
        object('Sidecar', `${id}/own`, { spec: { egress: [{ hosts: ['*/*', '~big/*'] }] } }),
      ],
      ...{ subject: `Sidecar ${id}/own`, words: `~big/*: ${oldImage} does not exclude hosts` },
    }),
  ],
];

const system = (id: string, made: KubeObject, words: string): Entry => {
  const { kind, metadata } = made;
  const subject = `${kind} ${metadata.namespace}/${metadata.name}`;
  return [id, () => ({ objects: [made], subject, words })];
};
const down = (name: string) => deployment(`lazyscope-system/${name}`, { available: 'False' });
export const companions: Entry[] = [
  inEnabled(
    'companion-missing',
    '1 proxy of enabled namespaces',
    { node: 'node-2' },
    'Node node-2',
  ),
  system('controller-unavailable', down('lazyscope-controller'), '0 of 2 run'),
  system('gateway-unavailable', down('lazyscope-egress'), '0 of 2 run'),
  system('no-leader', renewed('2026-11-28T11:50:00.000000Z'), '2026-11-28T11:50:00'),
  [
    'egress-denied',
    (id) => ({
      objects: [
        enabled(id),
        object('NetworkPolicy', `${id}/deny`, {
          spec: { podSelector: {}, policyTypes: ['Egress'] },
        }),
      ],
      ...{ subject: `NetworkPolicy ${id}/deny`, words: 'deny allows none' },
    }),
  ],
];

const ofMesh = (words: string, text: string): ObjectCase => ({
  objects: [meshConfig(text)],
  ...{ subject: 'ConfigMap istio-system/istio', words },
});

/** Checks of the mesh configuration, each alone. */
export const meshCases: ReadonlyMap<string, ObjectCase> = new Map([
  [
    'system-hidden',
    ofMesh(
      'leave out namespace lazyscope-system',
      'discoverySelectors: [{matchLabels: {kubernetes.io/metadata.name: shop}}]',
    ),
  ],
  [
    'dynamic-dns',
    ofMesh(
      'outboundTrafficPolicy is ALLOW_ANY_DYNAMIC_DNS',
      'outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}',
    ),
  ],
]);
