import type { KubeObject } from '../../../../companion/kube/object.ts';
import { companions, istiods, settings } from './real-control-planes.ts';
import {
  condition,
  digestOf,
  type Entry,
  enabled,
  filter,
  inEnabled,
  namespace,
  type ObjectCase,
  object,
  plugin,
  type Scope,
  scope,
  web,
} from './real-mesh.ts';
import { resources, sidecars } from './real-sidecars.ts';

/**
 * For each check that looks at objects those that make its condition true, in a namespace with the
 * id of the check, beside the healthy mesh. `test/api` applies all of them to a real API server.
 */

const ofNamespace = (id: string, words: string, ...objects: KubeObject[]): Entry => [
  id,
  () => ({ objects, subject: `Namespace ${id}`, words }),
];
const otherApp = { selector: { matchLabels: { app: 'cart' } } };
const unpinned = plugin('filter-fail-closed', 'lazyscope', { failStrategy: undefined });
const filters: Entry[] = [
  ofNamespace(
    'filter-missing',
    'its 1 proxy report no calls',
    enabled('filter-missing'),
    web('filter-missing/web-1'),
  ),
  ofNamespace(
    'filter-left-out',
    'the filter does not select 1 pod: web-1',
    enabled('filter-left-out'),
    ...filter('filter-left-out', otherApp),
    web('filter-left-out/web-1'),
  ),
  ofNamespace(
    'service-outside-ranges',
    'outside of 10.97.0.0/16',
    namespace('service-outside-ranges', {
      'lazyscope.io/mode': 'observe',
      'lazyscope.io/source': 'access-log',
    }),
    object(
      'EnvoyFilter',
      'service-outside-ranges/lazyscope-access-log',
      { spec: { configPatches: [] } },
      { annotations: { 'lazyscope.io/service-cidr': '10.97.0.0/16,none/0' } },
    ),
    web('service-outside-ranges/web-1'),
    object('Service', 'service-outside-ranges/late', {
      spec: { clusterIP: '10.96.200.1', ports: [{ name: 'http', port: 80 }] },
    }),
  ),
  ofNamespace(
    'filter-versions',
    `its filter is ${digestOf('b').slice(0, 12)}`,
    enabled('filter-versions'),
    ...filter('filter-versions', { sha256: digestOf('b') }),
  ),
  [
    'filter-fail-closed',
    (id) => ({
      objects: [namespace(id), unpinned],
      ...{
        subject: `WasmPlugin ${id}/lazyscope`,
        words: 'failStrategy is FAIL_CLOSE, the default',
      },
    }),
  ],
  ofNamespace('mode-unknown', '"enforced"', enabled('mode-unknown', 'enforced')),
  ofNamespace(
    'first-call-unknown',
    '"wait"',
    namespace('first-call-unknown', {}, { 'lazyscope.io/first-call': 'wait' }),
  ),
  inEnabled('outbound-excluded', 'excludeOutboundPorts: 5432', {
    annotations: { 'traffic.sidecar.istio.io/excludeOutboundPorts': '5432' },
  }),
  inEnabled('not-intercepted', 'its interception mode is NONE', {
    proxy: { env: [{ name: 'ISTIO_META_INTERCEPTION_MODE', value: 'NONE' }] },
  }),
];

const logging = (path: string, name: string) =>
  object('Telemetry', path, { spec: { accessLogging: [{ providers: [{ name }] }] } });
const providers: Entry[] = [
  [
    'custom-provider-missing',
    (id) => ({
      objects: [
        namespace(id),
        object('AuthorizationPolicy', `${id}/ask`, {
          spec: { action: 'CUSTOM', provider: { name: 'opa' }, rules: [{}] },
        }),
      ],
      ...{ subject: `AuthorizationPolicy ${id}/ask`, words: 'provider opa is not among' },
    }),
  ],
  [
    'telemetry-replaces-logs',
    (id) => ({
      objects: [namespace(id), logging('istio-system/all', 'otel'), logging(`${id}/own`, 'files')],
      ...{ subject: `Telemetry ${id}/own`, words: 'files replace otel' },
    }),
  ],
];

const scoped = (id: string, words: string, more: Scope): Entry => [
  id,
  () => ({
    objects: [namespace(id), scope(`${id}/web`, more)],
    ...{ subject: `WorkloadScope ${id}/web`, words },
  }),
];
const hosts = (count: number, reason: string) =>
  Array.from({ length: count }, (_, i) => ({ host: `shop/h-${i}.example`, reason }));
const scopes: Entry[] = [
  scoped('pin-of-nothing', 'pin shop/crat.shop.svc.cluster.local matches no Service', {
    spec: { pins: ['shop/crat.shop.svc.cluster.local'] },
  }),
  scoped('wildcard-pin', 'pin shop/* is a wildcard', { spec: { pins: ['shop/*'] } }),
  scoped('many-destinations', 'it has 1601 learned hosts', {
    status: { hosts: hosts(1_601, 'learned') },
  }),
  scoped('mostly-eager', '20 of its 30 hosts are eager', {
    status: { hosts: [...hosts(20, 'eager'), ...hosts(10, 'learned')] },
  }),
  scoped('little-saved', '51 clusters of 100 stay', {
    status: { mode: 'enforce', clusters: { before: 100, after: 51 } },
    conditions: [condition('Scoped', 'True', 'Enforced', 'Its scope is in force.')],
  }),
  scoped('observed-long', 'it has learned since 2026-11-21T08:00:00Z', {
    status: { learningSince: '2026-11-21T08:00:00Z' },
  }),
  scoped('withdrawal-pending', 'Deaf: its node is silent', {
    conditions: [condition('WithdrawalPending', 'True', 'Deaf', 'its node is silent')],
  }),
  [
    'not-narrowed',
    (id) => {
      const made = scope(`${id}/web`, { status: { mode: 'enforce' } });
      const ready = condition('Ready', 'False', 'ForeignSidecar', 'Sidecar own selects it.');
      Object.assign(made.status ?? {}, { conditions: [ready] });
      return {
        objects: [namespace(id), made],
        ...{ subject: `WorkloadScope ${id}/web`, words: 'ForeignSidecar: Sidecar own selects it.' },
      };
    },
  ],
  [
    'catch-all-range',
    (id) => ({
      objects: [
        namespace(id),
        object('ServiceEntry', `${id}/range`, {
          spec: {
            ...{ hosts: ['range.example'], addresses: ['0.0.0.0/0'], resolution: 'NONE' },
            ports: [{ number: 80, name: 'tcp', protocol: 'TCP' }],
          },
        }),
      ],
      ...{ subject: `ServiceEntry ${id}/range`, words: '0.0.0.0/0 with resolution NONE' },
    }),
  ],
];

/** Every check of objects but those of the mesh configuration, which would concern all others. */
export const objectCases: ReadonlyMap<string, ObjectCase> = new Map(
  [
    ...[...settings, ...istiods, ...filters, ...companions],
    ...[...providers, ...resources, ...sidecars, ...scopes],
  ].map(([id, make]) => [id, make(id)]),
);
