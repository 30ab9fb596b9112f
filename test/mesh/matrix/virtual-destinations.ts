import {
  type Context,
  type Destination,
  external,
  hostOf,
  ownService,
  portOf,
} from './destination.ts';
import { virtualService } from './istio-objects.ts';
import { serviceObject } from './servers.ts';

const toService = ({ namespace, test }: Context) => ({
  destination: { host: hostOf(namespace, test.name), port: { number: portOf(test).port } },
});
const mark = (value: string) => ({
  headers: { request: { set: { 'x-route': value } }, response: { set: { 'x-route': value } } },
});

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
  'virtual-tcp': ruled((context) => ({ tcp: [{ route: [toService(context)] }] })),
} as const satisfies Record<string, Destination>;
