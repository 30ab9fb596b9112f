import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createCatalog } from '../../../../companion/core/mesh/catalog.ts';
import { protocolOf } from '../../../../companion/core/mesh/protocol.ts';
import {
  sentinelOf,
  sentinelPorts,
  sentinelPortsMax,
} from '../../../../companion/core/scope/sentinel.ts';
import type { KubeObject } from '../../../../companion/kube/object.ts';
import { service } from './objects.ts';

describe('the protocol of a port', () => {
  test.each([
    [{ port: 80, name: 'http' }, 'http'],
    [{ port: 80, name: 'http-web' }, 'http'],
    [{ port: 80, name: 'HTTP2-web' }, 'http'],
    [{ port: 80, name: 'grpc-web' }, 'http'],
    [{ port: 80, name: 'grpc' }, 'http'],
    [{ port: 443, name: 'https' }, 'tcp'],
    [{ port: 443, name: 'tls-x' }, 'tcp'],
    [{ port: 6379, name: 'redis' }, 'tcp'],
    [{ port: 5432, name: 'tcp-postgres' }, 'tcp'],
    [{ port: 80, name: 'web' }, 'sniffed'],
    [{ port: 80 }, 'sniffed'],
    [{ port: 3306 }, 'tcp'],
    [{ port: 3306, name: 'http' }, 'http'],
    [{ port: 80, name: 'tcp', appProtocol: 'http' }, 'http'],
    [{ port: 80, appProtocol: 'kubernetes.io/h2c' }, 'http'],
    [{ port: 80, appProtocol: 'kubernetes.io/wss' }, 'tcp'],
    [{ port: 80, appProtocol: 'example.com/x' }, 'sniffed'],
    [{ port: 80, name: 'http', transport: 'UDP' }, 'udp'],
  ])('%j is %s, as istiod has it', (port, protocol) => {
    expect(protocolOf(port)).toBe(protocol);
  });
});

/** The ports of a mesh in which these namespaces are enabled. */
function found(objects: KubeObject[], enabled: readonly string[] = ['shop', 'bank']) {
  const catalog = createCatalog({ clusterDomain: 'cluster.local' });
  for (const each of objects) catalog.upsert(each);
  const records = [...catalog.hosts.patterns()].flatMap((name) => [...catalog.hosts.exact(name)]);
  return sentinelPorts(
    records,
    { namespace: 'lazyscope-system', rootNamespace: 'istio-system' },
    {
      namespaces: new Map(enabled.map((name) => [name, ['default']])),
      exportsUnder: catalog.exportsUnder,
    },
  );
}

function ports(...objects: KubeObject[]): number[] {
  return found(objects).ports;
}

const http = (port: number) => ({ name: `http-${port}`, port });
const tcp = (port: number) => ({ name: `tcp-${port}`, port });
const range = (from: number, length: number) => Array.from({ length }, (_, n) => from + n);

/** A Service with one port that its own namespace alone sees, or these namespaces. */
function exported(name: string, port: ReturnType<typeof http>, exportTo = '.') {
  return service(name, { ports: [port], exportTo });
}

const hiddenEntry: KubeObject = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name: 'hidden', namespace: 'other' },
  spec: {
    hosts: ['e.com'],
    exportTo: ['.'],
    ports: [{ number: 8080, name: 'http', protocol: 'HTTP' }],
  },
};

describe('the sentinel', () => {
  test('has every port that is or may be HTTP, sorted', () => {
    expect(
      ports(
        service('shop/a', { ports: [{ name: 'http', port: 9080 }] }),
        service('shop/b', { ports: [{ name: 'web', port: 8080 }] }),
        service('shop/c', { ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] }),
      ),
    ).toEqual([80, 8080, 9080]);
  });

  test('leaves out a port that any Service declares TCP', () => {
    expect(
      ports(
        service('shop/a', { ports: [{ name: 'http', port: 5432 }] }),
        service('shop/b', { ports: [{ name: 'tcp', port: 5432 }] }),
      ),
    ).toEqual([80]);
  });

  test.each<[string, KubeObject[], number[]]>([
    ['TCP that only another namespace sees', [exported('bank/db', tcp(80))], [80]],
    [
      'TCP that only another namespace sees, beside HTTP for all',
      [exported('bank/db', tcp(8080)), service('shop/a', { ports: [http(8080)] })],
      [80, 8080],
    ],
    [
      'TCP that every caller sees',
      [exported('bank/db', tcp(8080), 'shop,bank'), service('shop/a', { ports: [http(8080)] })],
      [80],
    ],
    [
      'TCP beside HTTP that only the same namespace sees',
      [exported('bank/db', tcp(8080)), exported('bank/a', http(8080))],
      [80],
    ],
    [
      'TCP of a namespace that is not enabled and keeps it to itself',
      [exported('other/db', tcp(8080)), service('shop/a', { ports: [http(8080)] })],
      [80, 8080],
    ],
    ['HTTP that no enabled namespace sees', [exported('other/a', http(8080))], [80]],
    ['HTTP that is exported to one', [exported('other/a', http(8080), 'shop')], [80, 8080]],
    [
      'HTTP of a namespace that is not enabled',
      [service('other/a', { ports: [http(8080)] })],
      [80, 8080],
    ],
    ['a ServiceEntry that nobody sees', [hiddenEntry], [80]],
  ])('counts the ports that each namespace sees: %s', (_what, objects, expected) => {
    expect(ports(...objects)).toEqual(expected);
  });

  test('has one port if no namespace is enabled', () => {
    expect(found([service('shop/a', { ports: [http(8080)] })], [])).toEqual({
      ports: [80],
      leftOut: [],
    });
  });

  test('a tenant with thousands of ports takes no place from the ports of others', () => {
    const greedy = service('bank/greedy', { ports: range(1_000, 2_000).map(http) });
    const others = range(0, 40).map((n) =>
      service(`team-${n}/a`, { ports: [http(9_000 + n), http(80)] }),
    );
    const { ports, leftOut } = found([greedy, ...others]);
    expect(ports).toHaveLength(sentinelPortsMax);
    expect(ports).toEqual([80, ...range(1_000, 23), ...range(9_000, 40)]);
    expect(leftOut).toEqual(range(1_023, 1_977));
  });

  test('is bounded, leaves no port out without need, and does not depend on the order', () => {
    const port = fc.integer({ min: 1, max: 300 });
    const one = fc.record({
      owner: fc.integer({ min: 0, max: 9 }),
      ports: fc.uniqueArray(port, { maxLength: 120 }),
    });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 12 }), (tenants) => {
        const made = tenants.map(({ owner, ports }, n) =>
          service(`team-${owner}/s${n}`, { ports: ports.map(http) }),
        );
        const result = found(made);
        const wanted = new Set([80, ...tenants.flatMap(({ ports }) => ports)]);
        expect(result.ports).toHaveLength(Math.min(wanted.size, sentinelPortsMax));
        expect(new Set([...result.ports, ...result.leftOut])).toEqual(wanted);
        expect(found(made.toReversed())).toEqual(result);
      }),
    );
  });

  test('leaves out ports of the proxy itself and of Lazyscope', () => {
    expect(
      ports(
        service('shop/a', { ports: [{ name: 'http', port: 15021 }] }),
        service('lazyscope-system/n', { ports: [{ name: 'http', port: 9470 }] }),
      ),
    ).toEqual([80]);
  });

  test('leaves out a port of istiod, unless an app has it too', () => {
    const istiod = service('istio-system/istiod', {
      ports: [
        { name: 'grpc-xds', port: 15010 },
        { name: 'http-monitoring', port: 15014 },
      ],
    });
    const dashboard = service('istio-system/kiali', { ports: [{ name: 'http', port: 20001 }] });
    const app = service('shop/a', { ports: [{ name: 'http', port: 15014 }] });
    expect(ports(istiod, dashboard)).toEqual([80, 20001]);
    expect(ports(istiod, app)).toEqual([80, 15014]);
  });

  test('is a ServiceEntry that resolves to the original destination of the call', () => {
    expect(sentinelOf([80, 9080], 'lazyscope-system').spec).toEqual({
      hosts: ['http-ports.lazyscope.internal'],
      location: 'MESH_EXTERNAL',
      resolution: 'NONE',
      exportTo: ['*'],
      ports: [
        { number: 80, name: 'http-80', protocol: 'HTTP' },
        { number: 9080, name: 'http-9080', protocol: 'HTTP' },
      ],
    });
  });
});
