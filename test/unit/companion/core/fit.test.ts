import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hostsOf } from '../../../../companion/controller/reconcile/inputs.ts';
import { createState } from '../../../../companion/controller/state/state.ts';
import { readPod } from '../../../../companion/core/mesh/pod-record.ts';
import { destinationsMax, type Edge } from '../../../../companion/core/scope/edges.ts';
import {
  buildsMax,
  type FittedScope,
  fitScope,
  scopeBytesMax,
} from '../../../../companion/core/scope/fit.ts';
import { entryOf, type ScopeHost } from '../../../../companion/core/scope/hosts.ts';
import { readSidecar, sidecarOf } from '../../../../companion/core/scope/sidecar.ts';
import { statusOf } from '../../../../companion/core/scope/status.ts';
import { groupWorkloads } from '../../../../companion/core/scope/workload.ts';
import {
  readWorkloadScope,
  workloadScopeOf,
} from '../../../../companion/core/scope/workload-scope.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { istio, pod, service } from './objects.ts';

/** `--max-request-bytes` of etcd, less what is well below it. */
const wellBelow = 1.25 * 1024 * 1024;
const now = Date.parse('2026-01-02T03:45:00Z');
const far = Date.parse('2026-01-01T00:00:00Z');
const range = (length: number) => Array.from({ length }, (_, n) => n);
/** A host as long as DNS allows. */
const long = (n: number) =>
  `${'h'.repeat(50)}.${'h'.repeat(60)}.${'h'.repeat(60)}.${'h'.repeat(60)}.h${n}.com`;
const label = (n: number) => `${'n'.repeat(55)}${n}`;
const many = 4_500;

type Worst = { objects?: KubeObject[]; edges?: Edge[]; pins?: string[]; dnsProxy?: boolean };

function learned(count: number): Edge[] {
  return range(count).map((n) => ({
    ...{ namespace: label(n), host: long(n) },
    ...{ firstSeen: far, lastSeen: far + n * 3_600_000 },
  }));
}

const tcpPort = { number: 9000, name: 'tcp', protocol: 'TCP' };
const entryTo = (n: number, spec: object) =>
  istio('ServiceEntry', `${label(n)}/${'e'.repeat(200)}${n}`, { hosts: [long(n)], ...spec });
const httpPort = { number: 80, name: 'http', protocol: 'HTTP' };
const route = (host: string) => [{ route: [{ destination: { host } }] }];

/** For each reason, objects of which a scope would import as many as there are. */
const worst: Record<string, Worst> = {
  'learned destinations': { edges: learned(destinationsMax) },
  'pins, with the longest names': {
    pins: range(1_000).map((n) => `${label(n)}/${long(n)}`.slice(0, 319)),
  },
  'pins of characters that take six bytes': {
    pins: range(900).map((n) => `a/${'\u0001'.repeat(40)}${n}`),
  },
  'ServiceEntries that cannot wait': {
    objects: range(many).map((n) => entryTo(n, { ports: [tcpPort] })),
  },
  'ServiceEntries behind a DNS proxy': {
    objects: range(many).map((n) => entryTo(n, { ports: [httpPort] })),
    dnsProxy: true,
  },
  'names that only VirtualServices have': {
    objects: range(many).map((n) =>
      istio('VirtualService', `${label(n)}/${'v'.repeat(200)}${n}`, {
        hosts: [long(n)],
        http: route('a.com'),
      }),
    ),
  },
  'names of VirtualServices that lead to one destination': {
    objects: [
      service('shop/cart', { ip: '10.96.0.1' }),
      ...range(many).map((n) =>
        istio('VirtualService', `${label(n)}/v${n}`, {
          hosts: [long(n)],
          http: route('cart.shop.svc.cluster.local'),
        }),
      ),
    ],
    edges: [
      { namespace: 'shop', host: 'cart.shop.svc.cluster.local', firstSeen: far, lastSeen: now },
    ],
  },
  'rules for connections': {
    objects: range(many).flatMap((n) => [
      service(`${label(n)}/db`, { ip: '10.96.0.1', ports: [{ name: 'tcp', port: 9000 }] }),
      istio('VirtualService', `${label(n)}/${'v'.repeat(200)}${n}`, {
        hosts: [`db.${label(n)}.svc.cluster.local`],
        tcp: route(`db.${label(n)}.svc.cluster.local`),
      }),
    ]),
  },
  'DestinationRules with TLS of their own': {
    objects: range(many).flatMap((n) => [
      entryTo(n, { ports: [httpPort] }),
      istio('DestinationRule', `${label(n)}/${'d'.repeat(200)}${n}`, {
        host: long(n),
        trafficPolicy: { tls: { mode: 'SIMPLE' } },
      }),
    ]),
  },
  'aliases of one destination': {
    objects: [
      service('shop/cart', { ip: '10.96.0.1' }),
      ...range(2_000).map((n) =>
        service(`${label(n)}/${'a'.repeat(58)}${n}`, {
          externalName: 'cart.shop.svc.cluster.local',
        }),
      ),
    ],
    edges: [
      { namespace: 'shop', host: 'cart.shop.svc.cluster.local', firstSeen: far, lastSeen: now },
    ],
  },
  'TCP Services beside the sentinel': {
    objects: [
      istio('ServiceEntry', 'lazyscope-system/lazyscope-http-ports', {
        hosts: ['http-ports.lazyscope.internal'],
        ports: [{ number: 80, name: 'http-80', protocol: 'HTTP' }],
      }),
      ...range(many).map((n) =>
        service(`${label(n)}/${'s'.repeat(58)}${n}`, {
          ip: '10.96.0.1',
          ports: [{ name: 'tcp', port: 80 }],
          exportTo: 'shop',
        }),
      ),
    ],
  },
  'services that plugins name': {
    objects: range(many).map((n) =>
      istio('RequestAuthentication', `shop/${'r'.repeat(200)}${n}`, {
        jwtRules: [{ issuer: 'i', jwksUri: `https://${long(n)}/keys` }],
      }),
    ),
  },
};
const everything: Worst = {
  objects: Object.values(worst).flatMap(({ objects = [] }) => objects),
  edges: learned(destinationsMax),
  pins: worst['pins, with the longest names']?.pins ?? [],
};

/** The objects that the controller would write for the workload `web`. */
function written({ objects = [], edges = [], pins = [], dnsProxy = false }: Worst) {
  const state = createState({ clusterDomain: 'cluster.local', namespace: 'lazyscope-system' });
  for (const object of objects) state.catalog.upsert(object);
  const [workload] = groupWorkloads([{ ...readPod(pod('shop/web')), dnsProxy }]);
  if (!workload) throw new Error('the pod makes no workload');
  const object = workloadScopeOf(workload);
  object.spec = { ...object.spec, pins };
  const system = (host: string) => ({ namespace: 'lazyscope-system', host });
  const fitted = hostsOf(
    {
      state,
      rootNamespace: 'istio-system',
      sentinel: system('http-ports.lazyscope.internal'),
      gateway: system('lazyscope-egress.lazyscope-system.svc.cluster.local'),
      life: { learningWindowMs: 0, ttlMs: 0, silenceMs: 0, ...unlimited },
      now: () => now,
    },
    workload,
    readWorkloadScope(object),
    edges,
  );
  const told = { status: 'True', reason: 'Reason', message: 'm'.repeat(5_000) } as const;
  const status = statusOf({
    ...fitted,
    ...{ mode: 'enforce', workload, proxies: noProxies, scoped: told, ready: told, now },
    watched: { learningSince: now, silentSince: now },
    verdict: { expired: [], kept: 0 },
    ...{ ttlMs: 0, justScoped: false, before: undefined, states: [], version: '10.10.10' },
  });
  const hosts = fitted.hosts.map(({ entry }) => entry);
  const owner = { name: 'web', uid: 'uid' };
  const sidecar = sidecarOf({ workload, owner, hosts, shadowed: undefined });
  return { fitted, scope: { ...object, status }, sidecar };
}

const unlimited = {
  guard: { share: 1, count: 1 },
  withdrawal: { workloadsPerMinute: 1, bytesPerMinute: 1 },
};
const noProxies = {
  ...{ total: 0, live: 0, silentMs: 0, judgedMs: 0, quorumMs: 0, isDeaf: false },
  ...{ lost: 0, unmeasured: 0, measuringMs: 0 },
};
const bytesOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value));

describe('etcd stores the objects of a scope', () => {
  test.each([...Object.entries(worst), ['all of these at once', everything] as const])(
    'with %s',
    (_what, made) => {
      const { fitted, scope, sidecar } = written(made);
      expect(fitted.hosts.length).toBeGreaterThan(500);
      expect(bytesOf(scope)).toBeLessThan(wellBelow);
      expect(bytesOf(sidecar)).toBeLessThan(wellBelow);
      for (const { message = '' } of scope.status.hosts)
        expect(message.length).toBeLessThanOrEqual(256);
      for (const { message } of scope.status.conditions)
        expect(message.length).toBeLessThanOrEqual(1_024);
    },
    60_000,
  );

  test('that repeats the listeners of a large default Sidecar', () => {
    const shadowed = readSidecar(
      istio('Sidecar', 'shop/default', {
        egress: range(3_000).map((n) => ({ port: { number: n + 1 }, hosts: [`./${long(n)}`] })),
      }),
    );
    expect(bytesOf(shadowed.spec)).toBeGreaterThan(700_000);
    const state = { edges: learned(destinationsMax) };
    const room = scopeBytesMax - bytesOf(shadowed.spec);
    const { hosts } = fitScope(state.edges, hostsFrom, room);
    const [workload] = groupWorkloads([readPod(pod('shop/web'))]);
    if (!workload) throw new Error('the pod makes no workload');
    const entries = hosts.map(({ entry }) => entry);
    const owner = { name: 'web', uid: 'uid' };
    expect(bytesOf(sidecarOf({ workload, owner, hosts: entries, shadowed }))).toBeLessThan(
      wellBelow,
    );
  });
});

const hostsFrom = (edges: readonly Edge[]): ScopeHost[] => [
  { entry: 'system/sentinel', reason: 'sentinel' },
  ...edges.map((edge) => ({ entry: entryOf(edge), reason: 'learned' as const, edge })),
];

describe('what has no room', () => {
  const entries = ({ hosts }: FittedScope) => hosts.map(({ entry }) => entry);

  test('is the learned destinations that were unused for longest, counted', () => {
    const edges = learned(100);
    const found = fitScope(edges, hostsFrom, 20_000);
    expect(found.isTooLarge).toBe(false);
    expect(found.leftOut).toBeGreaterThan(30);
    const kept = 100 - found.leftOut;
    expect(entries(found)).toEqual(
      entries({ ...found, hosts: hostsFrom(edges.slice(-kept).toReversed()) }),
    );
  });

  test('is a destination that brings thousands of hosts, not those after it', () => {
    const [greedy, ...others] = learned(20).toReversed();
    const build = (edges: readonly Edge[]): ScopeHost[] => [
      ...hostsFrom(edges),
      ...(greedy && edges.includes(greedy) ? hostsFrom(learned(1_000)) : []),
    ];
    const found = fitScope(
      learned(20),
      (edges) => build(edges.map((edge) => (edge.host === greedy?.host ? greedy : edge))),
      30_000,
    );
    expect(found.leftOut).toBe(1);
    expect(entries(found)).toEqual(entries({ ...found, hosts: hostsFrom(others) }));
  });

  test('does not change while the same destinations are in use', () => {
    const edges = learned(100).map((edge) => ({ ...edge, lastSeen: now }));
    const later = edges.map((edge, n) => ({ ...edge, lastSeen: now + ((n * 7_919) % 600_000) }));
    expect(entries(fitScope(later, hostsFrom, 20_000))).toEqual(
      entries(fitScope(edges, hostsFrom, 20_000)),
    );
  });

  test('is told where even nothing learned would fit, and what was learned stays on record', () => {
    const large = (edges: readonly Edge[]): ScopeHost[] => [
      ...hostsFrom(edges),
      ...range(200).map((n) => ({
        entry: `a/${long(n)}`,
        reason: 'eager' as const,
        message: 'why',
      })),
    ];
    const found = fitScope(learned(10), large, 20_000);
    expect(found.isTooLarge).toBe(true);
    expect(found.hosts.filter(({ reason }) => reason === 'learned')).toHaveLength(10);
    expect(found.hosts.length).toBeLessThan(80);
  });

  test('property: what is kept fits, and nothing is left out that would fit', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 60 }),
        fc.integer({ min: 500, max: 30_000 }),
        (count, room) => {
          const found = fitScope(learned(count), hostsFrom, room);
          const size = (hosts: ScopeHost[]) =>
            hosts.reduce((sum, { entry }) => sum + 130 + bytesOf([entry, '']), 0);
          expect(size(found.hosts)).toBeLessThanOrEqual(room);
          if (found.leftOut > 0) {
            const next = learned(count)
              .toReversed()
              .slice(0, count - found.leftOut + 1);
            expect(size(hostsFrom(next))).toBeGreaterThan(room);
          }
        },
      ),
    );
  });
});

test('a crowded scope is built a few times, and never often', () => {
  const edges = learned(destinationsMax);
  let builds = 0;
  const counted = (some: readonly Edge[]) => {
    builds += 1;
    return hostsFrom(some);
  };
  const found = fitScope(edges, counted, 200_000);
  expect(found.leftOut).toBeGreaterThan(0);
  expect(builds).toBeLessThanOrEqual(6);
  builds = 0;
  // Each destination brings another number of hosts.
  const greedy = (some: readonly Edge[]) =>
    counted(some.flatMap((edge, n) => Array<Edge>(1 + ((n * 7_919) % 13)).fill(edge)));
  expect(fitScope(edges, greedy, 400_000).leftOut).toBeGreaterThan(0);
  expect(builds).toBeLessThanOrEqual(buildsMax + 2);
});
