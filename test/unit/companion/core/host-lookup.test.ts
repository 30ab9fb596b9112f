import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { resolve } from '../../../../companion/core/first-call/resolve.ts';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import { createHostIndex, matchesHost } from '../../../../companion/core/mesh/host-pattern.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { app, istio, service } from './objects.ts';

type Entry = {
  host?: string;
  ports?: { number: number; name?: string; protocol?: string }[];
  created?: string;
  exportTo?: string[];
  resolution?: string;
};

function entry(path: string, options: Entry = {}): KubeObject {
  const { host = 'bank.example', created, exportTo, resolution = 'DNS' } = options;
  const { ports = [{ number: 80, protocol: 'HTTP' }] } = options;
  const spec = { hosts: [host], resolution, ports, ...(exportTo && { exportTo }) };
  return istio('ServiceEntry', path, spec, created);
}

function found(objects: KubeObject[], authority: string, port = 80, from = 'shop') {
  const catalog = createCatalog({ clusterDomain: 'cluster.local' });
  for (const object of objects) catalog.upsert(object);
  const call = { tcp: false, authority, destination: `93.0.0.1:${port}` };
  const { record, kind } = resolve(catalog, call, {
    namespace: from,
    clusterDomain: 'cluster.local',
  });
  return record ? `${record.namespace}/${record.name}` : kind;
}

describe('of one host in several namespaces', () => {
  const older = entry('zulu/bank', { created: '2020-01-01T00:00:00Z' });
  const newer = entry('alpha/bank', { created: '2026-01-01T00:00:00Z' });

  test('the oldest counts, as in istiod', () => {
    expect(found([newer, older], 'bank.example')).toBe('zulu/bank');
  });

  test('a host exported to some namespaces counts before a host exported to all', () => {
    const named = entry('beta/bank', { created: '2026-02-01T00:00:00Z', exportTo: ['shop'] });
    expect(found([newer, older, named], 'bank.example')).toBe('beta/bank');
  });

  test('the host in the caller’s namespace counts for the caller', () => {
    expect(found([newer, older], 'bank.example', 80, 'alpha')).toBe('alpha/bank');
  });

  test('a Service counts before a ServiceEntry, unless that is in the namespace of the caller', () => {
    const host = 'cart.other.svc.cluster.local';
    const objects = [...app('other/cart', '10.96.0.2', '10.1.0.2'), entry('shop/cart', { host })];
    expect(found(objects, host, 80, 'third')).toBe('other/cart');
    expect(found(objects, host, 80, 'shop')).toBe('shop/cart');
  });

  test('a host without the port hides the hosts of other namespaces', () => {
    const first = entry('alpha/bank', {
      created: '2020-01-01T00:00:00Z',
      ports: [{ number: 8080, protocol: 'HTTP' }],
    });
    const second = entry('beta/bank', { created: '2021-01-01T00:00:00Z' });
    expect(found([first, second], 'bank.example', 80)).toBe('external');
  });
});

describe('of one host in several ServiceEntries of one namespace', () => {
  const a = entry('shop/a', { created: '2020-01-01T00:00:00Z' });
  const ports = [{ number: 8080, protocol: 'HTTP' }];

  test('each serves its ports if the entries agree in everything else', () => {
    const b = entry('shop/b', { ports });
    expect(found([a, b], 'bank.example', 80)).toBe('shop/a');
    expect(found([a, b], 'bank.example', 8080)).toBe('shop/b');
  });

  test('only the older counts if they do not agree', () => {
    const b = entry('shop/b', { ports, created: '2021-01-01T00:00:00Z', resolution: 'STATIC' });
    expect(found([a, b], 'bank.example', 8080)).toBe('external');
  });
});

test('an exact host without the port does not hide a wildcard that has it', () => {
  const exact = entry('shop/exact', { ports: [{ number: 443, protocol: 'TLS' }] });
  const wide = entry('shop/wide', { host: '*.example' });
  expect(found([exact, wide], 'bank.example', 80)).toBe('shop/wide');
});

test('a wildcard may begin inside a label', () => {
  const wide = entry('shop/wide', { host: '*-int.example' });
  expect(found([wide], 'bank-int.example')).toBe('shop/wide');
  expect(found([wide], 'bank.example')).toBe('external');
});

test('an alias has the ports of its target', () => {
  const alias = service('shop/alias', {
    externalName: 'cart.other.svc.cluster.local',
    ports: [{ name: 'http', port: 9999 }],
  });
  const objects = [...app('other/cart', '10.96.0.2', '10.1.0.2'), alias];
  expect(found(objects, 'alias')).toBe('other/cart');
});

test.each([
  ['no protocol', { number: 3306, name: 'tcp-db' }, 'sniffed'],
  ['a protocol', { number: 80, name: 'http', protocol: 'TCP' }, 'tcp'],
  ['an unknown protocol', { number: 80, name: 'http', protocol: 'SMTP' }, 'sniffed'],
])(
  'the port of a ServiceEntry with %s has the protocol that istiod reads',
  (_what, port, protocol) => {
    const catalog = createCatalog({ clusterDomain: 'cluster.local' });
    catalog.upsert(entry('shop/bank', { ports: [port] }));
    expect(catalog.hosts.exact('bank.example')[0]?.ports).toMatchObject([{ protocol }]);
  },
);

test('the most specific pattern is the longest that matches, after any additions and removals', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '.', '-'), maxLength: 6 });
  const pattern = fc.tuple(fc.boolean(), letters).map(([wild, text]) => (wild ? `*${text}` : text));
  const index = fc.tuple(fc.array(pattern), fc.array(pattern));
  fc.assert(
    fc.property(index, letters, ([kept, dropped], host) => {
      const patterns = createHostIndex<string>();
      for (const each of [...kept, ...dropped]) patterns.add(each, each);
      for (const each of dropped) patterns.remove(each, each);
      const left = kept.filter((each) => !dropped.includes(each));
      const matching = left.filter((each) => matchesHost(each, host));
      const best = matching.includes(host) ? host : matching.sort((a, b) => b.length - a.length)[0];
      expect(patterns.mostSpecific(host, () => true)[0]).toBe(best);
      expect(new Set(patterns.all(host))).toEqual(new Set(matching));
    }),
  );
});
