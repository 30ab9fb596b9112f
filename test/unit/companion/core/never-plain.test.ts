import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isCarried } from '../../../../companion/core/first-call/gateway.ts';
import { mtlsOf, serversViewOf } from '../../../../companion/core/first-call/mtls.ts';
import { resolve } from '../../../../companion/core/first-call/resolve.ts';
import { chooseStrategy, firstCalls } from '../../../../companion/core/first-call/strategy.ts';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import {
  type Endpoint,
  endpointKinds,
  type Policy,
  type Rule,
  root,
  spokenTo,
} from './istiod-rules.ts';
import { app, istio, pod, service, slice } from './objects.ts';

const host = 'cart.bank.svc.cluster.local';
const gatewayHost = 'egress.lazyscope-system.svc.cluster.local';
const names = { trustDomain: 'cluster.local', rootNamespace: root };
const targets: Record<number, number> = { 80: 8080, 81: 8081 };

const namespaces = fc.constantFrom('shop', 'bank', root);
const tlsMode = fc.constantFrom('DISABLE' as const, 'SIMPLE' as const, 'ISTIO_MUTUAL' as const);
const port = fc.constantFrom(80, 81);
const rule: fc.Arbitrary<Rule> = fc
  .record(
    {
      namespace: namespaces,
      host: fc.constantFrom(
        host,
        '*.bank.svc.cluster.local',
        '*rt.bank.svc.cluster.local',
        '*.local',
      ),
      mode: fc.constantFrom(
        'none' as const,
        'empty' as const,
        'DISABLE' as const,
        'SIMPLE' as const,
        'ISTIO_MUTUAL' as const,
      ),
      portMode: fc.record({ port, mode: tlsMode }),
      selector: fc.constantFrom('web', 'other'),
      exportTo: fc.constantFrom(['.'], ['shop'], ['other', 'bank'], ['shop', 'lazyscope-system']),
    },
    { requiredKeys: ['namespace', 'host', 'mode'] },
  )
  .map(({ portMode, mode, ...each }) => ({
    ...each,
    name: '',
    mode,
    ...(mode !== 'none' && portMode && { portMode }),
  }));
const policy: fc.Arbitrary<Policy> = fc
  .record(
    {
      namespace: fc.constantFrom('bank', root),
      app: fc.constantFrom('cart', 'cart-b'),
      mode: fc.constantFrom(...(['UNSET', 'STRICT', 'PERMISSIVE', 'DISABLE'] as const)),
      portMode: fc.record({
        port: fc.constantFrom(80, 8080, 8081),
        mode: fc.constantFrom(...(['UNSET', 'STRICT', 'DISABLE'] as const)),
      }),
    },
    { requiredKeys: ['namespace', 'mode'] },
  )
  .map(({ portMode, ...each }) => ({
    ...each,
    name: '',
    ...(each.app && portMode && { portMode }),
  }));
const kinds = fc.constantFrom(...endpointKinds);
const mesh = fc.record({
  rules: fc.array(rule, { maxLength: 4 }),
  policies: fc.array(policy, { maxLength: 4 }),
  pods: fc.array(fc.record({ app: fc.constantFrom('cart', 'cart-b'), kind: kinds }), {
    maxLength: 3,
  }),
  exportTo: fc.constantFrom('*', 'shop', 'shop,lazyscope-system'),
  nodeLocal: fc.boolean(),
  port,
});

type Mesh = typeof mesh extends fc.Arbitrary<infer Value> ? Value : never;

/** Objects of the mesh. The creation time of each is a second after the previous one. */
function catalogOf({ rules, policies, pods, exportTo, nodeLocal }: Mesh) {
  const created = (index: number) => new Date(1e12 + index * 1_000).toISOString();
  const ports = [80, 81].map((each) => ({ name: `http-${each}`, port: each }));
  const cart = service('bank/cart', { ip: '10.96.0.1', ports, exportTo });
  if (nodeLocal) cart.spec = { ...cart.spec, internalTrafficPolicy: 'Local' };
  const catalog = createCatalog({ clusterDomain: 'cluster.local' });
  const objects = [
    ...app('lazyscope-system/egress', '10.96.0.9', '10.1.0.9'),
    cart,
    ...pods.map(({ app: name, kind }, index) =>
      pod(`bank/cart-${index}`, {
        ip: `10.1.0.${index + 1}`,
        labels: {
          app: name,
          ...(kind === 'tunnel' && { 'networking.istio.io/tunnel': 'http3,http' }),
          ...(kind === 'waypoint' && { 'gateway.istio.io/managed': 'istio.io-mesh-controller' }),
        },
        tlsMode: kind === 'sidecar' ? 'istio' : '',
        annotations: kind === 'captured' ? { 'ambient.istio.io/redirection': 'enabled' } : {},
      }),
    ),
    slice(
      'bank/cart',
      pods.map((_, index) => ({ ip: `10.1.0.${index + 1}`, pod: `cart-${index}` })),
      [80, 81].map((each) => ({ name: `http-${each}`, port: targets[each] ?? 0 })),
    ),
    ...rules.map(({ namespace, mode, portMode, selector, ...each }, index) =>
      istio(
        'DestinationRule',
        `${namespace}/rule-${index}`,
        {
          host: each.host,
          ...(each.exportTo && { exportTo: each.exportTo }),
          ...(selector && { workloadSelector: { matchLabels: { app: selector } } }),
          ...(mode !== 'none' && {
            trafficPolicy: {
              ...(mode !== 'empty' && { tls: { mode } }),
              ...(portMode && {
                portLevelSettings: [
                  { port: { number: portMode.port }, tls: { mode: portMode.mode } },
                ],
              }),
            },
          }),
        },
        created(index),
      ),
    ),
    ...policies.map(({ namespace, app: name, mode, portMode }, index) =>
      istio(
        'PeerAuthentication',
        `${namespace}/policy-${index}`,
        {
          ...(name && { selector: { matchLabels: { app: name } } }),
          mtls: { mode },
          ...(portMode && { portLevelMtls: { [portMode.port]: { mode: portMode.mode } } }),
        },
        created(index),
      ),
    ),
  ];
  for (const object of objects) catalog.upsert(object);
  return catalog;
}

const call = fc.record({
  firstCall: fc.constantFrom(...firstCalls.filter((each) => each !== 'passthrough')),
  gatewayReady: fc.boolean(),
  tcp: fc.boolean(),
  learnable: fc.boolean(),
});

test('a first call is in plain text only if full configuration uses plain text to every endpoint, and takes the gateway only if the gateway has a route', () => {
  fc.assert(
    fc.property(mesh, call, (given, { firstCall, gatewayReady, tcp, learnable }) => {
      const catalog = catalogOf(given);
      const asked = { tcp, authority: host, destination: `10.96.0.1:${given.port}` };
      const caller = { namespace: 'shop', clusterDomain: 'cluster.local' };
      const found = resolve(catalog, asked, caller);
      if (!found.record) throw new Error('the Service is not found');
      const destination = { record: found.record, port: found.port };
      const client = { namespace: 'shop', labels: { app: 'web' } };
      const gatewayCarries = isCarried(catalog, destination, gatewayHost, names);
      const decision = chooseStrategy(
        {
          ...{ tcp, firstCall, gatewayReady, gatewayCarries, callerNetwork: '' },
          otherClusters: false,
          hashed: false,
          destinationAgeMs: Number.POSITIVE_INFINITY,
        },
        { ...found, learnable: found.learnable && learnable },
        mtlsOf(serversViewOf(catalog, names), destination, client),
      );
      const ways = [decision.strategy, decision.otherwise].filter((way) => way !== '');
      const endpoints: Endpoint[] = given.pods.map((each) => ({
        ...each,
        target: targets[given.port] ?? 0,
      }));
      const spoken = (from: string, name: string) =>
        endpoints.map((endpoint) =>
          spokenTo(endpoint, 'bank', given, {
            ...{ host, port: given.port },
            client: { namespace: from, app: name },
          }),
        );
      if (ways.includes('plain') || ways.includes('passthrough')) {
        expect(spoken('shop', 'web').filter((each) => each !== 'plain text')).toEqual([]);
      }
      if (!ways.includes('gateway')) return;
      expect([given.exportTo === 'shop', given.nodeLocal]).toEqual([false, false]);
      const forGateway = spoken('lazyscope-system', 'egress');
      if (forGateway.length > 0) expect(forGateway).toContain('mutual TLS');
    }),
    { numRuns: 2_000 },
  );
});
