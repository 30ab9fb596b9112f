import { BlockList } from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  createAddressIndex,
  holdsAddress,
  rangeText,
} from '../../../../companion/core/mesh/address-index.ts';

test.each([
  ['10.0.0.1', '10.0.0.1', true],
  ['10.0.0.1', '10.0.0.2', false],
  ['240.1.0.0/16', '240.1.255.7', true],
  ['240.1.0.0/16', '240.2.0.0', false],
  ['0.0.0.0/0', '203.0.113.1', true],
  ['0.0.0.0/0', '2001:db8::1', false],
  ['10.0.0.1/32', '10.0.0.1', true],
  // The index ignores bits after the prefix.
  ['240.1.2.3/16', '240.1.9.9', true],
  ['2001:db8::/32', '2001:db8:ffff::1', true],
  ['2001:db8::/32', '2001:db9::1', false],
  ['2001:DB8::1', '2001:db8:0:0:0:0:0:1', true],
  ['::ffff:10.0.0.0/104', '10.9.9.9', true],
  ['10.0.0.0/33', '10.0.0.0', false],
  ['10.0.0.0/x', '10.0.0.0', false],
  ['10.0.0/8', '10.0.0.0', false],
  ['', '10.0.0.0', false],
])('%s holds %s: %s', (address, ip, expected) => {
  expect(holdsAddress(address, ip)).toBe(expected);
  const index = createAddressIndex<string>();
  index.add(address, 'value');
  expect(index.get(ip)).toEqual(expected ? ['value'] : []);
});

test.each([
  ['10.96.0.0/16', '10.96.0.0/16'],
  ['10.96.7.1/16', '10.96.0.0/16'],
  ['10.96.0.0/016', '10.96.0.0/16'],
  ['0.0.0.0/0', '0.0.0.0/0'],
  ['FD00:10:96:0::/112', 'fd00:10:96::/112'],
  ['fd00:10:96::7/112', 'fd00:10:96::/112'],
  ['::/0', '::/0'],
  ['fd00:0:0:1::/64', 'fd00:0:0:1::/64'],
  ['10.96.0.0', undefined],
  ['10.96.0.0/33', undefined],
  ['none/0', undefined],
])('the range %s is written as %s', (text, written) => {
  expect(rangeText(text)).toBe(written);
});

test('a range as it is written holds the same addresses, and is written so again', () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6());
  fc.assert(
    fc.property(address, fc.nat(128), address, (ip, bits, other) => {
      const range = `${ip}/${ip.includes(':') ? bits : bits % 33}`;
      const written = rangeText(range) ?? '';
      expect(rangeText(written)).toBe(written);
      for (const each of [ip, other])
        expect(holdsAddress(written, each)).toBe(holdsAddress(range, each));
    }),
  );
});

test('the narrowest range that holds an address wins', () => {
  const index = createAddressIndex<string>();
  for (const range of ['10.0.0.0/8', '10.1.0.0/16', '10.1.1.1']) index.add(range, range);
  expect(['10.9.9.9', '10.1.9.9', '10.1.1.1'].map((ip) => index.get(ip))).toEqual([
    ['10.0.0.0/8'],
    ['10.1.0.0/16'],
    ['10.1.1.1'],
  ]);
  index.remove('10.1.0.0/16', '10.1.0.0/16');
  expect(index.get('10.1.9.9')).toEqual(['10.0.0.0/8']);
});

const ipv4 = fc.ipV4();
const ipv6 = fc.ipV6();

test.each([
  ['ipv4' as const, ipv4, 32],
  ['ipv6' as const, ipv6, 128],
])('%s: the same ranges hold an address as in Node.js', (family, ips, bits) => {
  fc.assert(
    fc.property(ips, ips, fc.integer({ min: 1, max: bits }), (network, ip, prefix) => {
      const list = new BlockList();
      list.addSubnet(network, prefix, family);
      for (const each of [ip, network])
        expect(holdsAddress(`${network}/${prefix}`, each)).toBe(list.check(each, family));
    }),
  );
});

test('removing every added entry leaves nothing', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(ipv4, ipv6, fc.string())), (addresses) => {
      const index = createAddressIndex<number>();
      for (const [i, address] of addresses.entries()) index.add(address, i);
      for (const [i, address] of addresses.entries()) index.remove(address, i);
      expect(index.size()).toBe(0);
    }),
  );
});
