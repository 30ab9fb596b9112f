import { destinationRule, virtualService } from './istio-objects.ts';
import { host, marked, route, service, to, type Variant, variantNamespaces } from './variant.ts';

const { mine, theirs, third, wild } = variantNamespaces;
const toCallers = { 'networking.istio.io/exportTo': mine };

/** Combinations of VirtualServices with each other and with what they lead to. */
export const ruleVariants: Variant[] = [
  {
    name: 'two-vs',
    what: 'a host with a VirtualService of its namespace and one of the caller’s',
    objects: [theirs, mine].map((namespace) =>
      virtualService(namespace, 'two-vs', {
        hosts: [host('two-vs')],
        http: [route(namespace, host('two-vs'))],
      }),
    ),
  },
  {
    name: 'three-vs',
    what: 'a host with VirtualServices of two other namespaces and one of a gateway',
    objects: [
      ...[third, theirs].map((namespace) =>
        virtualService(namespace, 'three-vs', {
          hosts: [host('three-vs')],
          http: [route(namespace, host('three-vs'))],
        }),
      ),
      virtualService(mine, 'three-vs', {
        ...{ hosts: [host('three-vs')], gateways: ['some/other'] },
        http: [route('gateway', host('three-vs'))],
      }),
    ],
  },
  {
    name: 'subset',
    what: 'a VirtualService to a subset of a DestinationRule of the caller’s namespace',
    objects: [
      virtualService(theirs, 'subset', {
        hosts: [host('subset')],
        http: [route('subset', host('subset'), { subset: 'v1' })],
      }),
      destinationRule(mine, 'subset', {
        host: host('subset'),
        subsets: [{ name: 'v1', labels: { app: 'server' } }],
      }),
    ],
  },
  {
    name: 'short-vs',
    what: 'a VirtualService with short names for the mesh and a gateway',
    objects: [
      virtualService(theirs, 'short-vs', {
        ...{ hosts: ['short-vs'], gateways: ['mesh', 'some/gate'] },
        http: [route('short', 'short-vs')],
      }),
    ],
  },
  {
    name: 'weighted',
    what: 'a VirtualService with all weight on a Service that only the caller sees',
    objects: [
      service('only-mine', third, toCallers),
      virtualService(mine, 'weighted', {
        hosts: [host('weighted')],
        http: [
          {
            ...marked('weighted'),
            route: [
              { ...to(host('only-mine', third)), weight: 100 },
              { ...to(host('weighted')), weight: 0 },
            ],
          },
        ],
      }),
    ],
  },
  {
    name: 'source-ns',
    what: 'a VirtualService with rules for callers of a namespace',
    objects: [
      service('inner', third),
      virtualService(theirs, 'source-ns', {
        hosts: [host('source-ns')],
        http: [
          { match: [{ sourceNamespace: third }], ...route('for third', host('source-ns')) },
          { match: [{ sourceNamespace: mine }], ...route('for mine', host('inner', third)) },
          route('others', host('source-ns')),
        ],
      }),
    ],
  },
  {
    name: 'wild-vs',
    what: 'a VirtualService of another namespace for a wildcard',
    at: wild,
    flags: ['--header', 'x-wild: yes'],
    objects: [
      virtualService(third, 'wild-vs', {
        ...{ hosts: [`*.${wild}.svc.cluster.local`], exportTo: [mine] },
        http: [
          {
            match: [{ headers: { 'x-wild': { exact: 'yes' } } }],
            ...route('wild', host('inner', third)),
          },
        ],
      }),
    ],
  },
  {
    name: 'unmatched',
    what: 'such a VirtualService without a rule that matches',
    at: wild,
    status: 404,
  },
  {
    name: 'headers-vs',
    what: 'a VirtualService with two hosts, a redirect and a mirror',
    objects: [
      virtualService(mine, 'headers-vs', {
        hosts: [host('headers-vs'), host('mirrored')],
        http: [
          { match: [{ uri: { prefix: '/x' } }], redirect: { uri: '/y' } },
          {
            ...route('shared', host('headers-vs')),
            mirrors: [{ destination: { host: host('inner', third) } }],
          },
        ],
      }),
    ],
  },
  { name: 'mirrored', what: 'the other host of such a VirtualService' },
  {
    name: 'delegated',
    what: 'a VirtualService whose delegate of another namespace leads elsewhere',
    objects: [
      virtualService(mine, 'delegated', {
        hosts: [host('delegated')],
        http: [
          {
            match: [{ uri: { prefix: '/' } }],
            delegate: { name: 'delegate', namespace: third },
          },
        ],
      }),
      virtualService(third, 'delegate', { http: [route('delegate', host('inner', third))] }),
    ],
  },
];
