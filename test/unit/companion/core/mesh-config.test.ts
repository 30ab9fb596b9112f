import { describe, expect, test } from 'vitest';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import { noMeshConfig, readMeshConfig } from '../../../../companion/core/mesh/mesh-config.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { istio, pod, service } from './objects.ts';

const configMap = (mesh: string, name = 'istio'): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { namespace: 'istio-system', name },
  data: { mesh },
});

const mine = `
defaultServiceExportTo: ["."]
defaultVirtualServiceExportTo: ["."]
defaultDestinationRuleExportTo: ["."]
`;

test.each([
  ['nothing', ''],
  ['no YAML', 'a: [}'],
  ['a list', '- a'],
  ['another type', 'defaultServiceExportTo: 7'],
  ['everybody', 'defaultServiceExportTo: ["*"]'],
  ['everybody and oneself', 'defaultServiceExportTo: [".", "*"]'],
  // pilot/pkg/model/push_context.go, setDestinationRules: "We only honor . and *".
  ['a rule to a namespace', 'defaultDestinationRuleExportTo: [bank]'],
])('%s leaves everything visible', (_what, mesh) => {
  expect(readMeshConfig(configMap(mesh))).toEqual(noMeshConfig);
});

const rule = { host: 'cart', trafficPolicy: { tls: { mode: 'DISABLE' } } };

/**
 * Whether a namespace sees the Service, ServiceEntry, VirtualService and DestinationRule of `shop`.
 */
function seenFrom(namespace: string, mesh: string | undefined, more: KubeObject[] = []): boolean[] {
  const catalog = createCatalog({ clusterDomain: 'cluster.local' });
  const objects = [
    service('shop/cart', { ip: '10.96.0.1' }),
    istio('ServiceEntry', 'shop/out', { hosts: ['out.example'], ports: [{ number: 80 }] }),
    istio('VirtualService', 'shop/cart', { hosts: ['cart'], http: [] }),
    istio('DestinationRule', 'shop/cart', rule),
  ];
  // The mesh configuration counts whether it comes before or after the objects.
  for (const object of objects) catalog.upsert(object);
  if (mesh !== undefined) catalog.upsert(configMap(mesh));
  for (const object of more) catalog.upsert(object);
  const cart = 'cart.shop.svc.cluster.local';
  return [
    catalog.hosts.exact(cart),
    catalog.hosts.exact('out.example'),
    catalog.virtualServices.exact(cart),
    catalog.destinationRules.exact(cart),
  ].map((found) => found.some((record) => catalog.isVisible(record, namespace)));
}

test('an object without an export setting has the default of the mesh', () => {
  expect(seenFrom('bank', undefined)).toEqual([true, true, true, true]);
  expect(seenFrom('bank', mine)).toEqual([false, false, false, false]);
  expect(seenFrom('shop', mine)).toEqual([true, true, true, true]);
  expect(seenFrom('bank', 'defaultServiceExportTo: [bank]')).toEqual([true, true, true, true]);
  expect(seenFrom('other', 'defaultServiceExportTo: [bank]')).toEqual([false, false, true, true]);
  expect(seenFrom('shop', 'defaultServiceExportTo: ["~"]')).toEqual([false, false, true, true]);
  expect(seenFrom('bank', 'defaultServiceExportTo: ["~", bank]')).toEqual([
    ...[false, false],
    ...[true, true],
  ]);
});

/** pilot/pkg/serviceregistry/kube/conversion.go; push_context.go, initServiceRegistry. */
test.each([
  ['', 'shop, bank and other'],
  ['*', 'shop, bank and other'],
  ['~,*', 'shop, bank and other'],
  ['bank,*', 'shop, bank and other'],
  [' bank , shop ', 'shop, bank'],
  ['.', 'shop'],
  ['shop', 'shop'],
  ['.,bank', 'shop, bank'],
  ['bank', 'bank'],
  ['~', ''],
  ['~,bank', ''],
  ['.,~', ''],
  [' ', ''],
])('the annotation %j exports a Service to %s', (exportTo, expected) => {
  const found = { ...service('shop/cart', { ip: '10.96.0.1' }) };
  const annotations = { 'networking.istio.io/exportTo': exportTo };
  found.metadata = { ...found.metadata, annotations };
  const seeing = ['shop', 'bank', 'other'].filter((from) => seenFrom(from, undefined, [found])[0]);
  expect(seeing).toEqual(['shop', 'bank', 'other'].filter((name) => expected.includes(name)));
});

test('an object with an export setting of its own ignores the default', () => {
  const open = service('shop/cart', { ip: '10.96.0.1', exportTo: '*' });
  expect(seenFrom('bank', mine, [open])).toEqual([true, false, false, false]);
});

test('without the ConfigMap the defaults of Istio are back', () => {
  const catalog = createCatalog({ clusterDomain: 'cluster.local' });
  catalog.upsert(service('shop/cart', { ip: '10.96.0.1' }));
  catalog.upsert(configMap(mine));
  catalog.remove(configMap(mine));
  const [record] = catalog.hosts.exact('cart.shop.svc.cluster.local');
  expect(record && catalog.isVisible(record, 'bank')).toBe(true);
});

describe('with several revisions of istiod', () => {
  const canary = configMap(mine, 'istio-canary');
  const under = (revision: string, path = 'bank/app') => pod(path, { revision });

  function sees(...objects: KubeObject[]): boolean {
    const catalog = createCatalog({ clusterDomain: 'cluster.local' });
    catalog.upsert(service('shop/cart', { ip: '10.96.0.1' }));
    for (const object of objects) catalog.upsert(object);
    const [record] = catalog.hosts.exact('cart.shop.svc.cluster.local');
    return record !== undefined && catalog.isVisible(record, 'bank');
  }

  test.each<[string, boolean, KubeObject[]]>([
    ['of the revision of its pods', false, [under('canary')]],
    ['of no revision without pods of the namespace', true, [under('default')]],
    ['of either of two revisions of its pods', true, [under('canary'), under('default', 'bank/b')]],
    [
      'of the default revision if the configuration of its own is not read',
      false,
      [under('x'), configMap(mine)],
    ],
    [
      'of the revision, and ignores the default one',
      true,
      [under('next'), configMap(mine), configMap('', 'istio-next')],
    ],
    ['of the default revision for a namespace without sidecars', true, []],
  ])('a namespace sees by the mesh configuration %s', (_what, expected, objects) => {
    expect(sees(canary, ...objects)).toBe(expected);
  });

  test('a namespace whose pods have moved to another revision follows that revision', () => {
    const catalog = createCatalog({ clusterDomain: 'cluster.local' });
    const old = under('default', 'bank/old');
    for (const object of [service('shop/cart'), canary, old]) catalog.upsert(object);
    const seen = () => {
      const [record] = catalog.hosts.exact('cart.shop.svc.cluster.local');
      return record !== undefined && catalog.isVisible(record, 'bank');
    };
    expect([seen(), catalog.revisionsIn('bank')]).toEqual([true, ['default']]);
    catalog.upsert(under('canary', 'bank/new'));
    expect([seen(), catalog.revisionsIn('bank')]).toEqual([true, ['canary', 'default']]);
    catalog.remove(old);
    expect([seen(), catalog.revisionsIn('bank')]).toEqual([false, ['canary']]);
  });

  test.each(['ServiceEntry', 'VirtualService', 'DestinationRule'])(
    'a %s with the label of a revision is seen under that revision alone',
    (kind) => {
      const catalog = createCatalog({ clusterDomain: 'cluster.local' });
      const host = 'out.example';
      const object = istio(kind, 'shop/out', { hosts: [host], host, ports: [{ number: 80 }] });
      catalog.upsert({
        ...object,
        metadata: { ...object.metadata, labels: { 'istio.io/rev': 'canary' } },
      });
      catalog.upsert(under('canary', 'bank/app'));
      catalog.upsert(under('default', 'other/app'));
      const found = [catalog.hosts, catalog.virtualServices, catalog.destinationRules].flatMap(
        (index) => [...index.exact(host)],
      );
      const seenFrom = (from: string) => found.some((each) => catalog.isVisible(each, from));
      expect(['bank', 'other'].map(seenFrom)).toEqual([true, false]);
    },
  );
});

describe('serviceEntryVisibility', () => {
  const cap = `
serviceEntryVisibility:
  applyToSidecars: true
  defaultVisibility: NAMESPACE
  policies:
    - visibility: PUBLIC
      matchingRules: [{namespaceSelector: {matchLabels: {shared: 'yes'}}}]
    - visibility: NONE
      matchingRules: [{namespaceSelector: {matchExpressions: [{key: hidden, operator: Exists}]}}]
`;
  const labels: Record<string, Record<string, string>> = {
    shared: { shared: 'yes' },
    hidden: { hidden: '' },
  };

  /** The namespaces among those given that see an entry of `of`. */
  function seenFrom(of: string, mesh: string, exportTo?: string[]): string[] {
    const catalog = createCatalog({ clusterDomain: 'c', labelsOf: (name) => labels[name] ?? {} });
    catalog.upsert(configMap(mesh));
    const spec = { hosts: ['a.example'], ...(exportTo && { exportTo }), ports: [] };
    catalog.upsert(istio('ServiceEntry', `${of}/a`, spec));
    const [record] = catalog.hosts.exact('a.example');
    return [of, 'other'].filter((from) => record && catalog.isVisible(record, from));
  }

  test.each([
    ['by default to its own namespace', 'shop', cap, undefined, ['shop']],
    ['to all namespaces by a policy', 'shared', cap, undefined, ['shared', 'other']],
    ['to no namespace by a policy', 'hidden', cap, undefined, []],
    ['to no namespace that its own exportTo leaves out', 'shop', cap, ['other'], []],
    ['to no more namespaces than its own exportTo', 'shared', cap, ['.'], ['shared']],
    [
      'to all namespaces if the policy does not apply to sidecars',
      'shop',
      cap.replace('true', 'false'),
      undefined,
      ['shop', 'other'],
    ],
  ])('shows a ServiceEntry %s', (_what, of, mesh, exportTo, expected) => {
    expect(seenFrom(of, mesh, exportTo)).toEqual(expected);
  });
});
