import { describe, expect, test } from 'vitest';
import { mtlsOf, serversViewOf } from '../../../../companion/core/first-call/mtls.ts';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import { unseenProxy } from '../../../../companion/core/scope/unseen.ts';
import { groupWorkloads } from '../../../../companion/core/scope/workload.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { istio, pod, service, slice } from './objects.ts';

const names = { trustDomain: 'cluster.local', rootNamespace: 'istio-system' };
const client = { namespace: 'shop', labels: {} };

function catalogOf(objects: KubeObject[]) {
  const catalog = createCatalog({ clusterDomain: 'cluster.local' });
  for (const object of objects) catalog.upsert(object);
  return catalog;
}

function speak(objects: KubeObject[], host: string, port = 80) {
  const catalog = catalogOf(objects);
  const [record] = catalog.hosts.exact(host);
  if (!record) throw new Error(`no host ${host}`);
  const { networks, addresses, ...mtls } = mtlsOf(
    serversViewOf(catalog, names),
    { record, port },
    client,
  );
  return { ...mtls, networks: [...networks], addresses: [...addresses] };
}

const identity = (account: string) => `spiffe://cluster.local/ns/shop/sa/${account}`;

function machine(name: string, spec: object = {}, labels = { app: 'cart' }): KubeObject {
  return istio('WorkloadEntry', `shop/${name}`, { address: '10.2.0.1', labels, ...spec });
}

const vm = machine('vm', { serviceAccount: 'vm', network: 'east' });
const host = 'cart.shop.svc.cluster.local';

describe('a Service over a WorkloadEntry', () => {
  const [plain] = [service('shop/cart', { ip: '10.96.0.1' })];
  const selecting = (spec: object) =>
    ({ ...plain, spec: { ...plain?.spec, selector: { app: 'cart' }, ...spec } }) as KubeObject;
  const ports = [{ name: 'http', port: 80, targetPort: 8080 }];

  test('is called by mutual TLS at the machine’s address under the machine’s identity', () => {
    expect(speak([selecting({ ports }), vm], host)).toEqual({
      speech: 'mtls',
      reason: '',
      identities: [identity('vm')],
      networks: ['east'],
      addresses: ['10.2.0.1'],
    });
  });

  test('is called by HBONE if that is all that the machine takes', () => {
    const labels = { app: 'cart', 'networking.istio.io/tunnel': 'http' };
    const spoken = (spec: object) =>
      speak([selecting({ ports }), machine('vm', spec, labels)], host);
    expect(spoken({})).toMatchObject({ speech: 'tunnel' });
    expect(spoken({ serviceAccount: 'vm' })).toMatchObject({ speech: 'mtls' });
  });

  test('and over pods has the identities of both', () => {
    const cart = [
      pod('shop/cart', { ip: '10.1.0.1', account: 'cart', labels: { app: 'cart' } }),
      slice('shop/cart', [{ ip: '10.1.0.1', pod: 'cart' }]),
    ];
    expect(speak([selecting({ ports }), ...cart, vm], host)).toMatchObject({
      speech: 'mtls',
      identities: [identity('cart'), identity('vm')],
    });
  });

  test.each([
    ['without a service account speaks plain text', {}, 'plain'],
    [
      'with the label for mutual TLS speaks mutual TLS',
      { labels: { app: 'cart', ...mode('istio') } },
      'mtls',
    ],
    ['with the label against mutual TLS speaks plain text', { ...sa(), labels: off() }, 'plain'],
    ['with other labels is no endpoint', { ...sa(), labels: { app: 'other' } }, 'nobody'],
  ])('%s', (_what, spec, speech) => {
    expect(speak([selecting({ ports }), machine('vm', spec)], host).speech).toBe(speech);
  });

  test('without a port of the Service’s target name is no endpoint', () => {
    const named = selecting({ ports: [{ name: 'http', port: 80, targetPort: 'web' }] });
    expect(speak([named, vm], host).speech).toBe('nobody');
    const listening = machine('vm', { serviceAccount: 'vm', ports: { web: 9999 } });
    const closed = istio('PeerAuthentication', 'shop/vm', {
      selector: { matchLabels: { app: 'cart' } },
      portLevelMtls: { 9999: { mode: 'DISABLE' } },
    });
    expect(speak([named, listening], host).speech).toBe('mtls');
    expect(speak([named, listening, closed], host).speech).toBe('plain');
  });
});

function mode(value: string) {
  return { 'security.istio.io/tlsMode': value };
}
function sa() {
  return { serviceAccount: 'vm' };
}
function off() {
  return { app: 'cart', ...mode('disabled') };
}

describe('a ServiceEntry inside the mesh', () => {
  const entry = (spec: object) =>
    istio('ServiceEntry', 'shop/legacy', {
      hosts: ['legacy.example'],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      ports: [{ number: 80, name: 'http', protocol: 'HTTP', targetPort: 8080 }],
      ...spec,
    });
  const workloadSelector = { labels: { app: 'cart' } };

  test('selects pods and machines', () => {
    const cart = pod('shop/cart', { ip: '10.1.0.1', account: 'cart', labels: { app: 'cart' } });
    expect(speak([entry({ workloadSelector }), cart, vm], 'legacy.example')).toMatchObject({
      speech: 'mtls',
      identities: [identity('cart'), identity('vm')],
      addresses: ['10.1.0.1', '10.2.0.1'],
    });
    const policy = istio('PeerAuthentication', 'shop/cart', {
      selector: { matchLabels: { app: 'cart' } },
      portLevelMtls: { 8080: { mode: 'DISABLE' } },
    });
    expect(speak([entry({ workloadSelector }), cart, policy], 'legacy.example').speech).toBe(
      'plain',
    );
  });

  test('names its endpoints and their alternative identities', () => {
    const endpoints = [{ address: '10.3.0.1', serviceAccount: 'vm' }];
    const subjectAltNames = ['spiffe://cluster.local/ns/old/sa/vm'];
    const named = entry({ endpoints, subjectAltNames });
    expect(speak([named], 'legacy.example')).toMatchObject({
      speech: 'mtls',
      identities: ['spiffe://cluster.local/ns/old/sa/vm', identity('vm')],
    });
    const mixed = entry({ endpoints: [...endpoints, { address: '10.3.0.2' }] });
    expect(speak([mixed], 'legacy.example').speech).toBe('mixed');
  });

  test.each([
    ['DNS', 'plain'],
    ['NONE', 'plain'],
    ['STATIC', 'nobody'],
  ])('of resolution %s without endpoints has %s', (resolution, speech) => {
    expect(speak([entry({ resolution })], 'legacy.example').speech).toBe(speech);
  });

  test('outside of the mesh is never called by the mesh’s mutual TLS', () => {
    const endpoints = [{ address: '10.3.0.1', serviceAccount: 'vm' }];
    const outside = entry({ location: 'MESH_EXTERNAL', endpoints });
    expect(speak([outside], 'legacy.example').speech).toBe('plain');
  });
});

describe('the Sidecar of a workload would select the proxy of', () => {
  const labels = { app: 'cart', 'service.istio.io/canonical-name': 'cart' };
  const [workload] = groupWorkloads(
    catalogOf([pod('shop/cart', { ip: '10.1.0.1', labels })]).podsIn('shop'),
  );
  const unseen = (objects: KubeObject[]) => workload && unseenProxy(catalogOf(objects), workload);
  const group = (named: object) =>
    istio('WorkloadGroup', 'shop/carts', { metadata: { labels: named }, template: {} });

  test.each([
    ['a machine with its labels', [vm], 'WorkloadEntry vm'],
    ['no machine without a proxy', [machine('vm')], undefined],
    ['no machine of other labels', [machine('vm', sa(), { app: 'other' })], undefined],
    ['the machines of a group with its labels', [group({ app: 'cart' })], 'WorkloadGroup carts'],
    ['no machines of another group', [group({ app: 'other' })], undefined],
  ])('%s', (_what, objects, expected) => {
    expect(unseen(objects)).toBe(expected);
  });

  test('a machine that registered itself, with any account name', () => {
    const registered = machine('vm');
    registered.metadata.annotations = { 'istio.io/autoRegistrationGroup': 'carts' };
    expect(unseen([registered])).toBe('WorkloadEntry vm');
  });
});
