import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readMesh } from '../../../command/mesh/read.ts';
import { callPathOf, readNamed } from '../../../companion/controller/explain/call.ts';
import { knownWorkload } from '../../../companion/controller/explain/known.ts';
import { answer } from '../../../companion/controller/nodes/answer.ts';
import { firstCalls } from '../../../companion/core/first-call/strategy.ts';
import type { KubeObject } from '../../../companion/kube/object.ts';
import { commandLine, objectCluster } from './host.ts';
import { cartEntry, shopObjects } from './shop.ts';

const mesh = (objects: readonly KubeObject[] = shopObjects()) =>
  objectCluster(objects, { namespace: 'shop' });

const stepsOf = async (line: string, objects?: KubeObject[]) => {
  const { code, out } = await commandLine(`${line} -o json`, mesh(objects));
  expect(code).toBe(0);
  const { steps } = JSON.parse(out) as { steps: { step: string; text: string }[] };
  return Object.fromEntries(steps.map(({ step, text }) => [step, text]));
};

describe('the hosts of a scope', () => {
  test('each host comes with its reason in words, and whether it is imported', async () => {
    const { code, out } = await commandLine('explain web -o json', mesh());
    expect(code).toBe(0);
    const { inForce, hosts } = JSON.parse(out);
    expect(inForce).toBe(true);
    expect(hosts).toMatchObject(
      [
        { reason: 'sentinel', imported: false },
        { reason: 'gateway', imported: false },
        { reason: 'eager', host: 'shop/api.bank.example', why: /^port 443 is not HTTP/ },
        {
          reason: 'learned',
          host: cartEntry,
          imported: true,
          why: /^called since 2026-11-20T08:30/,
        },
      ].map(({ why, ...row }) => ({ ...row, ...(why && { why: expect.stringMatching(why) }) })),
    );
  });

  test('a rule that brings a host is named', async () => {
    const rule = shopObjects().find(({ kind }) => kind === 'VirtualService');
    const called = { ...rule, metadata: { ...rule?.metadata, name: 'front' } } as KubeObject;
    called.spec = {
      hosts: ['front.example'],
      http: [{ route: [{ destination: { host: 'cart' } }] }],
    };
    const { out } = await commandLine('explain web', mesh([...shopObjects(), called]));
    expect(out).toMatch(
      /shop\/front\.example +virtualservice +VirtualService shop\/front has rules/,
    );
  });

  test('a workload without a scope is shown as it would be', async () => {
    const { out } = await commandLine('explain cart', mesh());
    expect(out).toContain('shop/cart, mode enforce: full configuration.');
    expect(out).not.toContain('IMPORTED');
  });
});

describe('a call', () => {
  test('to a host of the scope takes the route that Envoy has', async () => {
    const steps = await stepsOf('explain web cart');
    expect(steps.name).toBe(
      'cart on port 80 is cart.shop.svc.cluster.local of Service shop/cart (http)',
    );
    expect(steps.scope).toContain('it is imported, so Envoy has its route');
    expect(steps.mtls).toBe(
      'mutual TLS to all servers; servers are spiffe://cluster.local/ns/shop/sa/cart',
    );
    expect(steps['first call']).toMatch(/^not needed now; outside of a scope it would be direct/);
    expect(steps.learning).toBe(`the call counts as a use of ${cartEntry}`);
  });

  test('to a host outside of the scope is a first call, and is learned', async () => {
    const steps = await stepsOf('explain web http://payments/refunds?id=1');
    expect(steps.scope).toBe('shop/payments.shop.svc.cluster.local is not in the scope');
    expect(steps.rules).toBe('VirtualService shop/payments has rules for it');
    expect(steps['first call']).toMatch(
      /^hold: VirtualService shop\/payments has rules for the host; otherwise direct/,
    );
    expect(steps.learning).toBe(
      'the call puts shop/payments.shop.svc.cluster.local into the scope',
    );
  });

  test('of a namespace that is not enabled teaches nothing, in words', async () => {
    const objects = shopObjects().map((object) =>
      object.kind === 'Namespace'
        ? { ...object, metadata: { name: object.metadata.name } }
        : object,
    );
    const steps = await stepsOf('explain cart http://payments', objects);
    expect(steps.caller).toContain('; not enabled: full configuration');
    expect(steps.learning).toBe('nothing: the namespace is not enabled');
  });

  test('to a server without a sidecar goes in plain text, and says why', async () => {
    const steps = await stepsOf('explain web legacy.plain');
    expect(steps.mtls).toBe('plain text: an endpoint has no sidecar');
    expect(steps['first call']).toMatch(/^plain: an endpoint has no sidecar/);
  });

  test('to a host that the Sidecar in force does not have yet is a first call', async () => {
    const steps = await stepsOf('explain web api.bank.example');
    expect(steps.scope).toContain('the Sidecar in force does not have it yet');
    expect(steps['first call']).toMatch(/^passthrough/);
  });

  test('to an address is found by the address alone', async () => {
    const steps = await stepsOf('explain web 10.96.0.5:5432 --tcp');
    expect(steps.name).toBe(
      'a connection to 10.96.0.5:5432 is db.shop.svc.cluster.local of Service shop/db (tcp)',
    );
  });

  test.each(['payments:81', 'http://other.example/', '192.0.2.7:80'])(
    'to %s, which no object explains, is left to Istio',
    async (host) => {
      const steps = await stepsOf(`explain web ${host}`);
      expect(steps.name).toContain('is no host of the mesh');
      expect(steps['first call']).toMatch(/^unknown to the mesh: passthrough/);
    },
  );

  test('from a workload with full configuration needs no first call', async () => {
    const steps = await stepsOf('explain cart payments');
    expect(steps.caller).toContain('full configuration');
    expect(steps['first call']).toMatch(/^not needed now/);
  });

  test('an exclude is named', async () => {
    const objects = shopObjects().map((object) =>
      object.kind === 'WorkloadScope'
        ? { ...object, spec: { ...object.spec, excludes: [cartEntry] } }
        : object,
    );
    const steps = await stepsOf('explain web cart', objects);
    expect(steps.scope).toBe(`${cartEntry} is not in the scope: spec.excludes keeps it out`);
    expect(steps.learning).toBe('the call would not put it into the scope');
  });
});

test.each([
  [
    'explain nobody',
    1,
    'workload shop/nobody: no running pod has a sidecar',
    'cart, payments, web',
  ],
  ['explain web -A', 64, 'a workload is in one namespace', '(-n)'],
  ['explain web a..b', 64, 'a..b: neither a host nor an address', 'cart.shop:8080'],
])('%s is refused with code %i', async (line, expected, text, remedy) => {
  const { code, err } = await commandLine(line, mesh());
  expect(code).toBe(expected);
  expect(err).toContain(text);
  expect(err).toContain(remedy);
});

test('an object that cannot be read is left out, and named', async () => {
  const broken = { ...shopObjects()[0], kind: 'PeerAuthentication' } as KubeObject;
  broken.metadata = { name: 'odd', namespace: 'shop' };
  broken.spec = { selector: { matchLabels: 5 }, mtls: null, portLevelMtls: 7 };
  const config = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'istio', namespace: 'istio-system' },
  };
  const unreadable = { ...config, data: { mesh: 'discoverySelectors: 5' } } as KubeObject;
  const { code, err } = await commandLine(
    'explain web',
    mesh([...shopObjects(), broken, unreadable]),
  );
  expect(code).toBe(0);
  expect(err).toContain('ConfigMap istio-system/istio is left out: it cannot be read');
});

test('the settings of the controller count', async () => {
  const controller = {
    ...{ apiVersion: 'apps/v1', kind: 'Deployment' },
    metadata: { name: 'lazyscope-controller', namespace: 'lazyscope-system' },
    spec: {
      template: {
        spec: {
          containers: [
            { args: ['controller'], env: [{ name: 'LAZYSCOPE_FIRST_CALL', value: 'passthrough' }] },
          ],
        },
      },
    },
  };
  const [namespace, ...others] = shopObjects();
  const bare = { ...namespace, metadata: { name: 'shop', labels: namespace?.metadata.labels } };
  const steps = await stepsOf('explain web legacy.plain', [
    bare as KubeObject,
    ...others,
    controller,
  ]);
  expect(steps['first call']).toContain('(passthrough by the setting of the controller)');
});

test('explain decides as the controller does for the proxies of a scope in force', async () => {
  const host = fc.constantFrom(
    'cart',
    'payments',
    'legacy.plain',
    'api.bank.example',
    'db',
    'x.example',
  );
  await fc.assert(
    fc.asyncProperty(
      host,
      fc.constantFrom(...firstCalls),
      fc.boolean(),
      async (name, first, tcp) => {
        const { list } = mesh(shopObjects(first));
        const now = Date.parse('2026-11-28T12:00:00Z');
        const read = await readMesh(
          { list, controller: undefined },
          { now: () => now - 3_600_000, unreadable: (_, error) => Promise.reject(error) },
        );
        const known = knownWorkload(read, 'shop', 'web');
        const [pod] = known?.workload.pods ?? [];
        if (!known) throw new Error('no workload');
        const path = callPathOf(read, known, { host: name, port: undefined, tcp }, now);
        const asker = { namespace: 'shop', pod };
        // Only a real question shows that a host was imported long ago and still has no
        // route.
        const state = { ...read.state, imports: { ...read.state.imports, since: () => undefined } };
        expect(path.unknown).toEqual(answer(state, read.answers, asker, path.call, now));
      },
    ),
    { numRuns: 60 },
  );
});

test.each([
  ['cart', { host: 'cart', port: undefined, tcp: false }],
  ['Cart.Shop:8080', { host: 'cart.shop', port: 8080, tcp: false }],
  ['http://cart/a:b?c', { host: 'cart', port: undefined, tcp: false }],
  ['https://api.example', { host: 'api.example', port: 443, tcp: true }],
  ['tcp://10.0.0.1:5432', { host: '10.0.0.1', port: 5432, tcp: true }],
  ['', undefined],
  ['a b', undefined],
])('the text "%s" names the call %o', (text, expected) => {
  expect(readNamed(text, false)).toEqual(expected);
});

test('no text makes reading a name throw', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => void readNamed(text, false)));
});
