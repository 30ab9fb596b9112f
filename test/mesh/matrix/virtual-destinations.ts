import {
  type Context,
  type Destination,
  external,
  hostOf,
  ownService,
  portOf,
} from './destination.ts';
import { serviceEntry, virtualService } from './istio-objects.ts';
import { serviceObject } from './servers.ts';

const toService = ({ namespace, test }: Context) => ({
  destination: { host: hostOf(namespace, test.name), port: { number: portOf(test).port } },
});
const mark = (value: string) => ({
  headers: { request: { set: { 'x-route': value } }, response: { set: { 'x-route': value } } },
});

/** The Service to which a rule leads, and not that which is called. */
const otherService = ({ namespace, test }: Context) =>
  serviceObject(namespace, `${test.name}-to`, 'permissive', [portOf(test).name]);
const toOther = ({ namespace, test }: Context) => ({
  destination: { host: hostOf(namespace, `${test.name}-to`), port: { number: portOf(test).port } },
});

/** That of the other clients (rig.ts). */
const otherNamespace = ({ namespace }: Context) =>
  namespace === 'matrix-any' ? 'matrix-registry' : 'matrix-any';
const sniPort = 443;

/** A Service and a VirtualService with rules for it. */
const ruled = (spec: (context: Context) => object): Destination => ({
  objects: (context) => [
    ...ownService(context),
    virtualService(context.namespace, context.test.name, {
      hosts: [hostOf(context.namespace, context.test.name)],
      ...spec(context),
    }),
  ],
  host: ({ test }) => test.name,
});

/**
 * Destinations that a VirtualService creates or configures. The header x-route shows the effect of
 * the rule.
 */
export const virtualDestinations = {
  'virtual-host': {
    objects: (context) => [
      ...ownService(context),
      virtualService(context.namespace, context.test.name, {
        hosts: [external(context)],
        http: [{ ...mark('virtual'), route: [toService(context)] }],
      }),
    ],
    host: external,
    port: () => 80,
  },
  'virtual-rules': ruled((context) => ({
    http: [
      {
        match: [{ uri: { prefix: '/a' } }],
        rewrite: { uri: '/rewritten' },
        ...mark('rule'),
        route: [toService(context)],
      },
      { ...mark('default'), route: [toService(context)] },
    ],
  })),
  'virtual-delegate': {
    objects: (context) => {
      const { namespace, test } = context;
      const delegate = `${test.name}-delegate`;
      return [
        ...ownService(context),
        serviceObject(namespace, `${test.name}-to`, 'permissive', ['http']),
        virtualService(namespace, test.name, {
          hosts: [hostOf(namespace, test.name)],
          http: [{ match: [{ uri: { prefix: '/' } }], delegate: { name: delegate, namespace } }],
        }),
        virtualService(namespace, delegate, {
          http: [
            {
              ...mark('delegate'),
              route: [{ destination: { host: hostOf(namespace, `${test.name}-to`) } }].map(
                ({ destination }) => ({ destination: { ...destination, port: { number: 8080 } } }),
              ),
            },
          ],
        }),
      ];
    },
    host: ({ test }) => test.name,
  },
  'virtual-source-labels': ruled((context) => ({
    http: [
      {
        match: [{ sourceLabels: { app: 'hold' } }],
        ...mark('for hold'),
        route: [toService(context)],
      },
      { ...mark('for others'), route: [toService(context)] },
    ],
  })),
  'virtual-other-gateway': ruled(() => ({
    gateways: ['some-gateway'],
    http: [{ ...mark('never'), directResponse: { status: 418 } }],
  })),
  'virtual-wildcard': {
    objects: (context) => [
      ...ownService(context),
      virtualService(context.namespace, context.test.name, {
        hosts: [`*.${external(context)}`],
        http: [{ ...mark('wildcard'), route: [toService(context)] }],
      }),
    ],
    host: (context) => `any.${external(context)}`,
    port: () => 80,
  },
  // No call of the matrix has this path.
  'virtual-no-match': ruled((context) => ({
    http: [
      { match: [{ uri: { prefix: '/never' } }], ...mark('never'), route: [toService(context)] },
    ],
  })),
  'virtual-redirect': ruled(() => ({
    http: [{ redirect: { uri: '/elsewhere', redirectCode: 302 } }],
  })),
  'virtual-answer': ruled(() => ({
    http: [{ ...mark('answer'), directResponse: { status: 418 } }],
  })),
  'virtual-tcp': ruled((context) => ({ tcp: [{ route: [toService(context)] }] })),
  'virtual-tcp-elsewhere': {
    objects: (context) => [
      ...ownService(context),
      otherService(context),
      virtualService(context.namespace, context.test.name, {
        hosts: [hostOf(context.namespace, context.test.name)],
        tcp: [{ route: [toOther(context)] }],
      }),
    ],
    host: ({ test }) => test.name,
  },
  // As to an egress gateway, with the rule in the namespace of those who run it.
  'virtual-sni': {
    objects: (context) => [
      serviceEntry(context.namespace, context.test.name, {
        ...{ hosts: [external(context)], location: 'MESH_EXTERNAL', resolution: 'DNS' },
        ports: [{ number: sniPort, name: 'tls', protocol: 'TLS' }],
      }),
      otherService(context),
      virtualService(otherNamespace(context), context.test.name, {
        ...{ hosts: [external(context)], exportTo: [context.namespace] },
        tls: [
          {
            match: [{ port: sniPort, sniHosts: [external(context)] }],
            route: [toOther(context)],
          },
        ],
      }),
    ],
    host: external,
    port: () => sniPort,
  },
} as const satisfies Record<string, Destination>;
