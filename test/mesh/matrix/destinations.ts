import { outside } from '../../../box/cluster/network-plan.ts';
import {
  type Context,
  type Destination,
  external,
  hostOf,
  ownService,
  portOf,
} from './destination.ts';
import { destinationRule, externalName, serviceEntry, slice } from './istio-objects.ts';
import { outsidePorts, selectorOf, serviceObject, withoutSelector } from './servers.ts';
import { virtualDestinations } from './virtual-destinations.ts';

const byName = (host: (context: Context) => string): Destination => ({
  objects: ownService,
  host,
});
const headlessService = ({ namespace, test }: Context) => [
  serviceObject(namespace, test.name, test.on, [portOf(test).name], true),
];
const targetPort = ({ test }: Context) => portOf(test).target;

const outsidePort = ({ test }: Context) =>
  outsidePorts[portOf(test).name as keyof typeof outsidePorts];

/** The ServiceEntry port for the port that the case calls on the machine outside. */
const entryPort = (context: Context) => {
  const { name } = portOf(context.test);
  const protocol = name === 'http' ? 'HTTP' : name === 'tls' ? 'TLS' : 'TCP';
  return { number: outsidePort(context), name, protocol };
};

const entry = (context: Context, hosts: string[], more: object) =>
  serviceEntry(context.namespace, context.test.name, {
    hosts,
    ports: [entryPort(context)],
    location: 'MESH_EXTERNAL',
    ...more,
  });

const toOutside = { endpoints: [{ address: outside.address }] };

const dnsEntry: Destination = {
  objects: (context) => [entry(context, [external(context)], { resolution: 'DNS' })],
  host: external,
  port: outsidePort,
};

const wildcardEntry: Destination = {
  objects: (context) => [entry(context, [`*.${external(context)}`], { resolution: 'NONE' })],
  host: (context) => `any.${external(context)}`,
  port: outsidePort,
};

/**
 * A separate address for each case. Only the mesh leads from this address to the machine outside.
 */
const addressOf = ({ test: { index } }: Context, last: string) =>
  `240.${9 + (index >> 8)}.${index & 255}.${last}`;

const addressEntry = (suffix: string): Destination => ({
  objects: (context) => [
    entry(context, [external(context)], {
      addresses: [addressOf(context, suffix)],
      resolution: 'STATIC',
      ...toOutside,
    }),
  ],
  host: (context) => addressOf(context, '7'),
  port: outsidePort,
});

/** Every kind of destination: its objects, and the host that the app calls. */
export const destinations = {
  short: byName(({ test }) => test.name),
  'name-ns': byName(({ namespace, test }) => `${test.name}.${namespace}`),
  'name-ns-svc': byName(({ namespace, test }) => `${test.name}.${namespace}.svc`),
  fqdn: byName(({ namespace, test }) => hostOf(namespace, test.name)),
  'cluster-ip': byName(({ namespace, test, addresses }) =>
    addresses.clusterIp(namespace, test.name),
  ),
  headless: { objects: headlessService, host: ({ test }) => test.name, port: targetPort },
  'headless-pod': {
    objects: ({ namespace, test }) => [
      withoutSelector(serviceObject(namespace, test.name, test.on, [portOf(test).name], true)),
    ],
    late: (context) => [slice(context, 'pod-0')],
    host: ({ namespace, test }) => `pod-0.${hostOf(namespace, test.name)}`,
    port: targetPort,
  },
  'stateful-pod': {
    host: ({ namespace }) => `stateful-0.${hostOf(namespace, 'stateful')}`,
    port: targetPort,
  },
  'stateful-ip': {
    host: ({ namespace, addresses }) => addresses.podIp(namespace, 'stateful'),
    port: targetPort,
  },
  'pod-ip': {
    objects: ownService,
    host: ({ namespace, test, addresses }) => addresses.podIp(namespace, test.on),
    port: targetPort,
  },
  'external-name-outside': {
    objects: (context) => [
      externalName(context.namespace, context.test.name, outside.host, {
        name: portOf(context.test).name,
        port: outsidePort(context),
      }),
    ],
    host: ({ namespace, test }) => hostOf(namespace, test.name),
    port: outsidePort,
  },
  'external-name-inside': {
    objects: ({ namespace, test }) => [
      serviceObject(namespace, `${test.name}-to`, test.on, [portOf(test).name]),
      externalName(namespace, test.name, hostOf(namespace, `${test.name}-to`), portOf(test)),
    ],
    host: ({ namespace, test }) => hostOf(namespace, test.name),
  },
  manual: {
    objects: ({ namespace, test }) => [
      withoutSelector(serviceObject(namespace, test.name, test.on, [portOf(test).name])),
    ],
    late: (context) => [slice(context)],
    host: ({ test }) => test.name,
  },
  'entry-http': dnsEntry,
  'entry-tls': dnsEntry,
  'entry-wildcard': wildcardEntry,
  'entry-tls-wildcard': wildcardEntry,
  'entry-tcp': addressEntry('7'),
  'entry-cidr': addressEntry('0/28'),
  'entry-internal': {
    objects: ({ namespace, test }) => [
      serviceEntry(namespace, test.name, {
        hosts: [external({ test })],
        location: 'MESH_INTERNAL',
        resolution: 'STATIC',
        ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }],
        workloadSelector: { labels: selectorOf(test.on) },
      }),
    ],
    host: external,
  },
  // Istio's egress TLS origination: the app speaks plain text, its proxy TLS.
  'entry-own-tls': {
    objects: (context) => [
      serviceEntry(context.namespace, context.test.name, {
        ...{ hosts: [external(context)], location: 'MESH_EXTERNAL', resolution: 'DNS' },
        ports: [{ number: 8080, name: 'http', protocol: 'HTTP', targetPort: outsidePorts.tls }],
      }),
      destinationRule(context.namespace, context.test.name, {
        host: external(context),
        trafficPolicy: {
          tls: { mode: 'SIMPLE', sni: external(context), insecureSkipVerify: true },
        },
      }),
    ],
    host: external,
    port: () => 8080,
  },
  // By the method, the same for every call: one of the servers gets them all.
  hashed: {
    objects: (context) => [
      ...ownService(context),
      destinationRule(context.namespace, context.test.name, {
        host: hostOf(context.namespace, context.test.name),
        trafficPolicy: { loadBalancer: { consistentHash: { httpHeaderName: ':method' } } },
      }),
    ],
    host: ({ test }) => test.name,
  },
  external: { host: () => outside.host, port: outsidePort },
  ...virtualDestinations,
} as const satisfies Record<string, Destination>;

export type DestinationKind = keyof typeof destinations;
