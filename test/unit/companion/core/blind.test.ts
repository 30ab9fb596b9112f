import { describe, expect, test } from 'vitest';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import {
  blindHosts,
  plainBeyondScope,
  servicesOutside,
} from '../../../../companion/core/scope/blind.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { app, istio, pod, service, slice } from './objects.ts';

function look(
  objects: KubeObject[],
  plainAddresses: string[] = [],
  serviceCidrs = ['10.96.0.0/16'],
) {
  const catalog = createCatalog({ clusterDomain: 'cluster.local' });
  for (const object of objects) catalog.upsert(object);
  const blind = { serviceCidrs, plainAddresses };
  const input = { namespace: 'shop', rootNamespace: 'istio-system', labels: [{}], blind };
  return {
    known: [...blindHosts(catalog, input)].map(({ entry, message }) => [entry, message]),
    beyond: plainBeyondScope(catalog, input),
    outside: servicesOutside(catalog, input),
  };
}

const pay = 'bank/pay.bank.svc.cluster.local';
const inMesh = app('bank/pay', '10.96.0.1', '10.1.0.1');
const policy = (mode: string) => istio('PeerAuthentication', 'bank/all', { mtls: { mode } });
const rule = (trafficPolicy: object) =>
  istio('DestinationRule', 'bank/pay', { host: 'pay.bank.svc.cluster.local', trafficPolicy });
const bare = app('bank/pay', '10.96.0.1', '10.1.0.1', { tlsMode: '' });

describe('mutual TLS to the address of a Service serves', () => {
  test.each([
    ['servers with a sidecar', inMesh],
    ['servers that require mutual TLS', [...inMesh, policy('STRICT')]],
    ['a Service without any server', [service('bank/pay', { ip: '10.96.0.1' })]],
    ['a host outside of the mesh', [service('bank/pay', { externalName: 'pay.example.org' })]],
  ])('%s, so the host need not be known', (_, objects) => {
    expect(look(objects).known).toEqual([]);
  });
});

describe('a host is known from the beginning', () => {
  test.each<[string, KubeObject[], RegExp]>([
    ['if its servers have no sidecar', bare, /port 80: /],
    [
      'if one of its servers has no sidecar',
      [
        service('bank/pay', { ip: '10.96.0.1' }),
        pod('bank/one', { ip: '10.1.0.1' }),
        pod('bank/two', { ip: '10.1.0.2', tlsMode: '' }),
        slice('bank/pay', [
          { ip: '10.1.0.1', pod: 'one' },
          { ip: '10.1.0.2', pod: 'two' },
        ]),
      ],
      /port 80: /,
    ],
    ['if its servers refuse mutual TLS', [...inMesh, policy('DISABLE')], /port 80: /],
    ['if a DestinationRule disables TLS', [...inMesh, rule({ tls: { mode: 'DISABLE' } })], /port/],
    [
      'if a DestinationRule has TLS of its own',
      [...inMesh, rule({ tls: { mode: 'SIMPLE' } })],
      /port/,
    ],
    [
      'if a DestinationRule chooses the server by a hash',
      [...inMesh, rule({ loadBalancer: { consistentHash: { httpHeaderName: 'user' } } })],
      /hash/,
    ],
    ['if it is headless', app('bank/pay', 'None', '10.1.0.1'), /those of pods/],
    ['if its address is in no range', app('bank/pay', '10.97.0.1', '10.1.0.1'), /outside of 10.96/],
    [
      'if a VirtualService has rules for it',
      [
        ...inMesh,
        istio('VirtualService', 'bank/pay', {
          hosts: ['pay.bank.svc.cluster.local'],
          http: [{ route: [{ destination: { host: 'pay.bank.svc.cluster.local' } }] }],
        }),
      ],
      /VirtualService bank\/pay has rules/,
    ],
  ])('%s', (_, objects, why) => {
    const { known, beyond } = look(objects);
    expect(known).toEqual([[pay, expect.stringMatching(why)]]);
    expect(beyond).toEqual([]);
  });

  test('if a ServiceEntry declares it', () => {
    const spec = {
      hosts: ['api.example.org'],
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      resolution: 'DNS',
    };
    expect(look([istio('ServiceEntry', 'bank/api', spec)]).known).toEqual([
      ['bank/api.example.org', expect.stringContaining('ServiceEntry')],
    ]);
  });

  test('if its address is in plainAddresses, which Envoy calls in plain text', () => {
    expect(look(inMesh, ['10.96.0.1']).known).toEqual([[pay, expect.stringContaining('plain')]]);
    expect(look(inMesh, ['10.96.0.12']).known).toEqual([]);
  });
});

describe('a Service that istiod does not show to the namespace', () => {
  const hidden = (objects: KubeObject[]) =>
    objects.map((object) =>
      object.kind === 'Service'
        ? {
            ...object,
            metadata: { ...object.metadata, annotations: { 'networking.istio.io/exportTo': '.' } },
          }
        : object,
    );

  test('is named if its servers take no mutual TLS, unless plainAddresses has its address', () => {
    const found = { address: '10.96.0.1', host: 'pay.bank.svc.cluster.local' };
    expect(look(hidden(bare))).toMatchObject({ known: [], beyond: [found] });
    expect(look(hidden(bare), ['10.96.0.1']).beyond).toEqual([]);
  });

  test('needs nothing if its servers take mutual TLS, or if it has no address of a Service', () => {
    expect(look(hidden(inMesh))).toMatchObject({ known: [], beyond: [] });
    expect(look(hidden(app('bank/pay', 'None', '10.1.0.1', { tlsMode: '' })))).toMatchObject({
      known: [],
      beyond: [],
    });
  });
});

describe('a Service with an address of each family', () => {
  const dual = inMesh.map((object) =>
    object.kind === 'Service'
      ? { ...object, spec: { ...object.spec, clusterIPs: ['10.96.0.1', 'fd00:10:96::1'] } }
      : object,
  );
  const host = 'pay.bank.svc.cluster.local';

  test('need not be known where the namespace has both ranges', () => {
    const ranges = ['10.96.0.0/16', 'fd00:10:96::/112'];
    expect(look(dual, [], ranges)).toEqual({ known: [], beyond: [], outside: [] });
  });

  test('is known, and named as one outside, where the namespace has one range', () => {
    const { known, outside } = look(dual);
    expect(known).toEqual([[pay, 'its address fd00:10:96::1 is outside of 10.96.0.0/16']]);
    expect(outside).toEqual([{ address: 'fd00:10:96::1', host }]);
  });
});
