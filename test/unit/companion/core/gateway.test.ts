import { describe, expect, test } from 'vitest';
import { isCarried } from '../../../../companion/core/first-call/gateway.ts';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { app, istio, pod, service, slice } from './objects.ts';

const names = { trustDomain: 'cluster.local', rootNamespace: 'istio-system' };
const gatewayHost = 'egress.lazyscope-system.svc.cluster.local';
const path = 'lazyscope-system/egress';
const gatewayAnnotations = { 'inject.istio.io/templates': 'gateway' };
const gateway = app(path, '10.96.0.9', '10.1.0.9', { annotations: gatewayAnnotations });

function carries(objects: KubeObject[], options: { host?: string; gateway?: KubeObject[] } = {}) {
  const { host = 'cart.shop.svc.cluster.local', gateway: of = gateway } = options;
  const catalog = createCatalog({ clusterDomain: 'cluster.local' });
  for (const object of [...of, ...objects]) catalog.upsert(object);
  const [record] = catalog.hosts.exact(host);
  if (!record) throw new Error(`no host ${host}`);
  return isCarried(catalog, { record, port: 80 }, gatewayHost, names);
}

function cartExportedTo(exportTo: string): KubeObject[] {
  return [
    service('shop/cart', { ip: '10.96.0.1', exportTo }),
    pod('shop/cart', { ip: '10.1.0.1', labels: { app: 'cart' } }),
    slice('shop/cart', [{ ip: '10.1.0.1', pod: 'cart' }]),
  ];
}

const cart = app('shop/cart', '10.96.0.1', '10.1.0.1');

function mesh(name: string, text: string): KubeObject {
  const metadata = { namespace: 'istio-system', name };
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { mesh: text } };
}

describe('the gateway leads to a host', () => {
  test.each([
    ['for all', '*', true],
    ['for the namespace of the gateway', 'lazyscope-system', true],
    ['for its own namespace only', '.', false],
    ['for another namespace', 'other', false],
  ])('that exists %s, from the gateway’s view', (_for, exportTo, expected) => {
    expect(carries(cartExportedTo(exportTo))).toBe(expected);
  });

  test('by the default of the mesh, if the host has no export setting', () => {
    const closed = mesh('istio', 'defaultServiceExportTo: ["."]');
    expect(carries([...cart, closed])).toBe(false);
    expect(carries([...cartExportedTo('*'), closed])).toBe(true);
  });

  test('by the default of the gateway’s revision', () => {
    const canary = app(path, '10.96.0.9', '10.1.0.9', {
      annotations: gatewayAnnotations,
      revision: 'canary',
    });
    const closed = mesh('istio-canary', 'defaultServiceExportTo: ["."]');
    expect(carries([...cart, closed], { gateway: canary })).toBe(false);
    expect(carries([...cart, closed])).toBe(true);
  });

  test('if only one namespace has it, because the gateway uses one of several', () => {
    const entry = (at: string) =>
      istio('ServiceEntry', at, {
        hosts: ['bank.example'],
        location: 'MESH_INTERNAL',
        resolution: 'STATIC',
        ports: [{ number: 80, protocol: 'HTTP' }],
      });
    expect(carries([entry('a/bank')], { host: 'bank.example' })).toBe(true);
    expect(carries([entry('a/bank'), entry('b/bank')], { host: 'bank.example' })).toBe(false);
  });

  test('unless the host is outside of the mesh', () => {
    const entry = istio('ServiceEntry', 'a/bank', {
      hosts: ['bank.example'],
      resolution: 'DNS',
      ports: [{ number: 80, protocol: 'HTTP' }],
    });
    expect(carries([entry], { host: 'bank.example' })).toBe(false);
  });

  test('unless only the endpoints on the caller’s node count', () => {
    const [local, ...others] = cart;
    const spec = { ...local?.spec, internalTrafficPolicy: 'Local' };
    expect(carries([{ ...local, spec } as KubeObject, ...others])).toBe(false);
  });

  test('unless a rule in force for the gateway takes mutual TLS from it', () => {
    const rule = (at: string, exportTo: string) =>
      istio('DestinationRule', at, {
        host: 'cart.shop.svc.cluster.local',
        exportTo: [exportTo],
        trafficPolicy: { tls: { mode: 'DISABLE' } },
      });
    expect(carries([...cart, rule('shop/cart', '*')])).toBe(false);
    expect(carries([...cart, rule('shop/cart', '.')])).toBe(true);
    expect(carries([...cart, rule('lazyscope-system/cart', '.')])).toBe(false);
  });

  test('if any endpoint accepts mutual TLS, or no endpoint is known here', () => {
    const bare = pod('shop/bare', { ip: '10.1.0.7', tlsMode: '' });
    const both = slice('shop/cart', [
      { ip: '10.1.0.1', pod: 'cart' },
      { ip: '10.1.0.7', pod: 'bare' },
    ]);
    expect(carries([...cart, bare, both])).toBe(true);
    expect(carries([...cart, bare, slice('shop/cart', [{ ip: '10.1.0.7', pod: 'bare' }])])).toBe(
      false,
    );
    expect(carries([service('shop/cart', { ip: '10.96.0.1' })])).toBe(true);
  });
});
