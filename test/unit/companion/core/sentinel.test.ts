import { describe, expect, test } from 'vitest';
import { protocolOf } from '../../../../companion/core/mesh/protocol.ts';
import { readService } from '../../../../companion/core/mesh/records.ts';
import { sentinelOf, sentinelPorts } from '../../../../companion/core/scope/sentinel.ts';
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

function ports(...services: ReturnType<typeof service>[]): number[] {
  const records = services.map((each) => readService(each, 'cluster.local'));
  return sentinelPorts(records, { namespace: 'lazyscope-system', rootNamespace: 'istio-system' });
}

describe('the sentinel', () => {
  test('has every port that speaks HTTP or may, sorted', () => {
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
