import fc from 'fast-check';
import { expect, test } from 'vitest';
import { answer, gateway, hold, markOf, nextReport, unknownRequest } from './calls.ts';
import { Host } from './host.ts';

/** The cluster of a request without an answer, under this configuration. */
function fallbackOf(configuration: string | object, destination: string): string | undefined {
  const host = new Host();
  host.configure(configuration);
  const stream = unknownRequest(host, 'a', {}, { destination });
  answer(host);
  return markOf(stream);
}

function refusedKeysOf(configuration: string | object | Uint8Array): [number, string[]] {
  const host = new Host();
  const { totals } = nextReport(host, host.configure(configuration));
  return [Number(totals.refusedKeys), host.logs];
}

const direct = 'lazyscope-direct';

test('the default falls back to passthrough', () => {
  expect(fallbackOf('', '10.0.0.1:80')).toBeUndefined();
  expect(fallbackOf({ directCidrs: ['10.0.0.0/8'] }, '10.0.0.1:80')).toBeUndefined();
  expect(fallbackOf({ fallback: 'direct' }, '10.0.0.1:80')).toBeUndefined();
});

test.each([
  ['10.0.0.0/8', '10.255.0.1:80', direct],
  ['10.0.0.0/8', '11.0.0.1:80', undefined],
  ['10.96.0.0/12', '10.111.255.255:80', direct],
  ['10.96.0.0/12', '10.112.0.0:80', undefined],
  ['10.1.2.3/32', '10.1.2.3:80', direct],
  ['10.1.2.3/32', '10.1.2.2:80', undefined],
  ['0.0.0.0/0', '1.1.1.1:80', direct],
  ['0.0.0.0/0', '[fd00::1]:80', undefined],
  ['fd00:10::/32', '[fd00:10:1::5]:80', direct],
  ['fd00:10::/32', '[fd00:11::5]:80', undefined],
  ['::/0', '[2001:db8::1]:80', direct],
  ['::1/128', '[::1]:80', direct],
  ['1:2:3:4:5:6:7:8/127', '[1:2:3:4:5:6:7:9]:80', direct],
  ['10.0.0.0/8', 'not an address', undefined],
  ['10.0.0.0/8', '[10.0.0.1', undefined],
])('direct falls back within %s: %s', (cidr, destination, expected) => {
  expect(fallbackOf({ fallback: 'direct', directCidrs: [cidr] }, destination)).toBe(expected);
});

test.each([
  '10.0.0.0',
  '10.0.0.0/33',
  '10.0.0/8',
  '10.0.0.0.0/8',
  '256.0.0.0/8',
  '0010.0.0.0/8',
  'fd00::/129',
  'fd00::1::/64',
  ':1::/64',
  '1:2:3:4:5:6:7/64',
  '1:2:3:4:5:6:7:8:9/64',
  'fd00:/16',
  '12345::/16',
  '@::/16',
  '10.0.0.0/',
  '/8',
  '',
])('%s is no address block, and refuses the whole list', (cidr) => {
  const configuration = { fallback: 'direct', directCidrs: ['10.0.0.0/8', cidr] };
  expect(fallbackOf(configuration, '10.0.0.1:80')).toBeUndefined();
  const [refused, logs] = refusedKeysOf(configuration);
  expect(refused).toBe(1);
  expect(logs).toEqual([
    '4 lazyscope: bad value in pluginConfig, its default is used: directCidrs',
  ]);
});

test('the maximum is 64 address blocks', () => {
  const blocks = (count: number) => ({
    fallback: 'direct',
    directCidrs: Array.from({ length: count }, (_, i) => `10.${i}.0.0/16`),
  });
  expect(fallbackOf(blocks(64), '10.63.0.1:80')).toBe(direct);
  expect(fallbackOf(blocks(65), '10.63.0.1:80')).toBeUndefined();
});

test.each([
  [{ fallback: 'teleport' }, 'fallback'],
  [{ fallback: 1 }, 'fallback'],
  [{ mode: 'udp' }, 'mode'],
  [{ mode: null }, 'mode'],
  [{ directCidrs: '10.0.0.0/8' }, 'directCidrs'],
  [{ directCidrs: [10] }, 'directCidrs'],
  [{ flushSeconds: 0 }, 'flushSeconds'],
  [{ flushSeconds: 31 }, 'flushSeconds'],
  [{ flushSeconds: '5' }, 'flushSeconds'],
  [{ flushSeconds: 1.5 }, 'flushSeconds'],
  [{ holdSeconds: -1 }, 'holdSeconds'],
  [{ holdSeconds: 11 }, 'holdSeconds'],
])('%o is refused key by key', (configuration, key) => {
  const [refused, logs] = refusedKeysOf({ unknown: { a: ['}', '\\"'] }, ...configuration });
  expect(refused).toBe(1);
  expect(logs).toEqual([
    '3 lazyscope: unknown key ignored in pluginConfig: unknown',
    `4 lazyscope: bad value in pluginConfig, its default is used: ${key}`,
  ]);
});

test.each(['', '{}', ' { "mode" : "http" , "holdSeconds" : 2 } '])('%j is valid', (text) => {
  expect(refusedKeysOf(text)).toEqual([0, []]);
});

test.each(['{', '[]', 'null', '{"mode":"http"', '{"mode" "http"}', '{"a":1,}', '{} {}', '{"a":'])(
  '%j is no configuration, and the defaults apply',
  (text) => {
    const [refused] = refusedKeysOf(text);
    expect(refused).toBeGreaterThan(0);
    expect(fallbackOf(text, '10.0.0.1:80')).toBeUndefined();
  },
);

test('a configuration larger than the arena leaves the defaults', () => {
  const [refused] = refusedKeysOf(`{"mode":"http"${' '.repeat(100_000)}}`);
  expect(refused).toBe(1);
});

test('no text makes the filter trap or hang', () => {
  const piece = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    '"',
    ',',
    ':',
    '\\',
    'mode',
    '1',
    '10.0.0.0/8',
    ' ',
  );
  const text = fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join(''));
  fc.assert(
    fc.property(text, (t) => Number.isInteger(refusedKeysOf(t)[0])),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (b) => Number.isInteger(refusedKeysOf(b)[0])),
  );
});

test('any configuration object is read, and its known keys take effect', () => {
  const known = { fallback: 'direct', directCidrs: ['10.0.0.0/8'] };
  const other = fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 5 });
  const reserved = ['mode', 'fallback', 'directCidrs', 'flushSeconds', 'holdSeconds'];
  fc.assert(
    fc.property(other, fc.boolean(), (extra, first) => {
      for (const key of reserved) delete extra[key];
      const configuration = first ? { ...known, ...extra } : { ...extra, ...known };
      expect(fallbackOf(configuration, '10.0.0.1:80')).toBe(direct);
    }),
  );
});

test('a new configuration replaces the old one of the same mode only', () => {
  const host = new Host();
  const block = { fallback: 'direct', directCidrs: ['10.0.0.0/8'] };
  host.configure({ mode: 'http', ...block });
  host.configure({ mode: 'tcp' });
  host.refuseCalls = true;
  expect(markOf(unknownRequest(host, 'a'))).toBe(direct);
  expect(host.connect('10.0.0.1:1').filterState.size).toBe(0);
  host.configure({ mode: 'tcp', ...block });
  host.configure({ mode: 'http' });
  expect(markOf(unknownRequest(host, 'b'))).toBeUndefined();
  expect(host.connect('10.0.0.1:2').filterState.size).toBe(1);
});

test('the configuration of the network mode leaves the settings of the HTTP mode alone', () => {
  const host = new Host();
  host.configure({ mode: 'http', holdSeconds: 0 });
  host.configure({ mode: 'tcp' });
  const stream = unknownRequest(host, 'a');
  answer(host, hold);
  expect(markOf(stream)).toBe(direct);
});

test.each<unknown>(['tpc', '', null, 7, ['tcp']])(
  'a plugin with mode %j leaves the settings of both modes alone',
  (mode) => {
    const host = new Host();
    const block = { fallback: 'direct', directCidrs: ['10.0.0.0/8'] };
    host.configure({ mode: 'http', holdSeconds: 0, ...block });
    host.configure({ mode: 'tcp', ...block });
    host.configure({ mode, fallback: 'passthrough', holdSeconds: 5 });
    const stream = unknownRequest(host, 'held');
    answer(host, hold);
    expect(markOf(stream)).toBe(direct);
    host.refuseCalls = true;
    expect(markOf(unknownRequest(host, 'a'))).toBe(direct);
    expect(host.connect('10.0.0.1:1').filterState.size).toBe(1);
  },
);

test('an invalid configuration after a valid one restores the defaults and keeps the learned destinations', () => {
  const host = new Host();
  host.configure({ fallback: 'direct', directCidrs: ['0.0.0.0/0'] });
  unknownRequest(host, 'known');
  answer(host, gateway);
  host.configure('garbage');
  expect(markOf(unknownRequest(host, 'known'))).toBe('lazyscope-egress');
  host.refuseCalls = true;
  expect(markOf(unknownRequest(host, 'new'))).toBeUndefined();
});
