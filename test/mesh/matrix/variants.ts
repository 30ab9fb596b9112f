import { namespaceObject, workload } from '../../../box/shop.ts';
import { destinationRule, serviceEntry, virtualService } from './istio-objects.ts';
import { host, port, route, service, type Variant, variantNamespaces } from './variant.ts';
import { ruleVariants } from './variant-rules.ts';

const { mine, theirs, third } = variantNamespaces;
/** In the root namespace, so that a test has to delete it by itself. */
export const rootRule = { name: 'vary-root', namespace: 'istio-system' };
const exports = (list: string) => ({ 'networking.istio.io/exportTo': list });
const plain = { trafficPolicy: { tls: { mode: 'DISABLE' } } };

const consumerRoute = {
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'HTTPRoute',
  metadata: { name: 'both-kinds', namespace: mine },
  spec: {
    parentRefs: [{ group: '', kind: 'Service', name: 'both-kinds', namespace: theirs, port }],
    rules: [
      {
        filters: [
          {
            type: 'ResponseHeaderModifier',
            responseHeaderModifier: { set: [{ name: 'x-route', value: 'httproute' }] },
          },
        ],
        backendRefs: [{ name: 'both-kinds', namespace: theirs, port }],
      },
    ],
  },
};

const privateRules = [
  destinationRule(third, 'private-rule', { host: host('private-rule'), exportTo: ['.'], ...plain }),
  destinationRule(theirs, 'private-rule', {
    ...{ host: host('private-rule'), exportTo: [third] },
    ...plain,
  }),
];

/** Combinations of operators' objects, beyond the rows of cases.yaml. */
export const variants: Variant[] = [
  ...ruleVariants,
  { name: 'empty-export', what: 'an empty exportTo', annotations: exports('') },
  {
    name: 'list-export',
    what: 'an exportTo with blanks around its names',
    annotations: exports(`other , ${mine}`),
  },
  {
    name: 'squatted',
    what: 'a ServiceEntry of the caller’s namespace with the host of a Service',
    objects: [
      serviceEntry(mine, 'squatted', {
        ...{ hosts: [host('squatted')], location: 'MESH_INTERNAL', resolution: 'STATIC' },
        ports: [{ number: port, name: 'http', protocol: 'HTTP' }],
        workloadSelector: { labels: { app: 'server' } },
      }),
    ],
  },
  {
    name: 'root-rule',
    what: 'a DestinationRule of the root namespace for a wildcard',
    objects: [
      destinationRule(rootRule.namespace, rootRule.name, {
        host: `*.${theirs}.svc.cluster.local`,
        trafficPolicy: { connectionPool: { tcp: { maxConnections: 77 } } },
      }),
    ],
  },
  {
    name: 'both-kinds',
    what: 'a VirtualService and an HTTPRoute of the caller’s namespace on one host',
    objects: [
      virtualService(theirs, 'both-kinds', {
        hosts: [host('both-kinds')],
        http: [route('virtual service', host('both-kinds'))],
      }),
      consumerRoute,
    ],
  },
  {
    name: 'private-rule',
    what: 'DestinationRules that are for other callers only',
    objects: privateRules,
  },
  {
    name: 'alias',
    what: 'an ExternalName of a host with two VirtualServices',
    at: third,
    isOwn: true,
    objects: [
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'alias', namespace: third },
        spec: {
          type: 'ExternalName',
          externalName: host('two-vs'),
          ports: [{ name: 'http', port }],
        },
      },
    ],
  },
];

export const variantObjects: object[] = [
  ...Object.values(variantNamespaces).map((name) => namespaceObject(name)),
  ...workload(mine, 'client'),
  ...[mine, theirs, third].flatMap((namespace) => workload(namespace, 'server')),
  {
    apiVersion: 'security.istio.io/v1',
    kind: 'PeerAuthentication',
    metadata: { name: 'default', namespace: theirs },
    spec: { mtls: { mode: 'STRICT' } },
  },
  ...variants.flatMap(({ name, at, annotations, objects = [], isOwn }) => [
    ...(isOwn ? [] : [service(name, at, annotations)]),
    ...objects,
  ]),
];
