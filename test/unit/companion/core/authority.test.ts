import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  hostOfAuthority,
  parseAddress,
  parseClusterName,
} from '../../../../companion/core/mesh/authority.ts';

describe('the host of an authority', () => {
  test.each([
    ['reviews', 'reviews'],
    ['reviews:9080', 'reviews'],
    ['Reviews.App:9080', 'reviews.app'],
    ['reviews.app.svc.cluster.local.', 'reviews.app.svc.cluster.local'],
    ['10.0.0.1:80', '10.0.0.1'],
    ['[fd00::1]:80', 'fd00::1'],
    ['[FD00::1]', 'fd00::1'],
    ['my_host:', 'my_host'],
  ])('%s is %s', (authority, host) => {
    expect(hostOfAuthority(authority)).toBe(host);
  });

  test.each([
    '',
    ':80',
    'a b',
    'a:b',
    'a:123456',
    'user@host',
    '[fd00::1',
    '[reviews]',
    '[fd00::1]x',
    'a..b',
    '.',
    'a/b',
    `${'a'.repeat(513)}`,
  ])('%j has none', (authority) => {
    expect(hostOfAuthority(authority)).toBeUndefined();
  });

  test('any text gives a lower-case host without a port, or none', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 600 }), (text) => {
        const host = hostOfAuthority(text);
        if (host === undefined) return;
        expect(host).toBe(host.toLowerCase());
        expect(host).toMatch(/^[a-z0-9._:-]+$/);
        expect(host.includes(':')).toBe(text.startsWith('['));
      }),
    );
  });
});

describe('an address', () => {
  test('is an IP with a port, IPv6 in brackets', () => {
    expect(parseAddress('10.0.0.1:80')).toEqual({ ip: '10.0.0.1', port: 80 });
    expect(parseAddress('[fd00::1]:443')).toEqual({ ip: 'fd00::1', port: 443 });
  });

  test.each(['', '10.0.0.1', '10.0.0.1:0', '10.0.0.1:70000', 'host:80', 'fd00::1:80', '[x]:1'])(
    '%j is none',
    (text) => {
      expect(parseAddress(text)).toBeUndefined();
    },
  );

  test('printed and read again is the same', () => {
    const ip = fc.oneof(fc.ipV4(), fc.ipV6());
    fc.assert(
      fc.property(ip, fc.integer({ min: 1, max: 65_535 }), (text, port) => {
        const printed = text.includes(':') ? `[${text}]:${port}` : `${text}:${port}`;
        expect(parseAddress(printed)).toEqual({ ip: text.toLowerCase(), port });
      }),
    );
  });
});

describe('a cluster name', () => {
  test('of an outbound cluster gives port, subset and host', () => {
    expect(parseClusterName('outbound|9080|v2|reviews.app.svc.cluster.local')).toEqual({
      port: 9080,
      subset: 'v2',
      host: 'reviews.app.svc.cluster.local',
    });
  });

  test.each([
    'PassthroughCluster',
    'inbound|9080||',
    'outbound|9080||',
    'outbound|x||a',
    'outbound|0||a',
    'outbound|1|2|3|4',
    'lazyscope-egress',
    '',
  ])('%j is not one of those', (name) => {
    expect(parseClusterName(name)).toBeUndefined();
  });
});
