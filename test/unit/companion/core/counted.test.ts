import { expect, test } from 'vitest';
import { counted } from '../../../../companion/core/mesh/counted.ts';
import { files, read } from '../../source.ts';

test.each([
  [0, 'host', '0 hosts'],
  [1, 'host', '1 host'],
  [2, 'host', '2 hosts'],
  [1, 'proxy', '1 proxy'],
  [2, 'proxy', '2 proxies'],
  [3, 'learned host', '3 learned hosts'],
  [2, 'entry', '2 entries'],
  [2, 'gateway', '2 gateways'],
  [2, 'push', '2 pushes'],
  [2, 'fetch', '2 fetches'],
  [2, 'address', '2 addresses'],
])('%i of %s are %s', (count, noun, text) => {
  expect(counted(count, noun)).toBe(text);
});

const nouns =
  'hosts|pods|proxies|workloads|clusters|ports|calls|services|connections|destinations|findings|checks|lines|nodes|namespaces';

// A number with decimals takes the plural: 1.0 calls a second.
test('no text of the product joins a number and a plural by hand, which would say "1 hosts"', () => {
  const sources = files.filter((file) => /^(command|companion)\/.*\.ts$/.test(file));
  const found = sources.flatMap((file) =>
    [
      ...read(file).matchAll(new RegExp(`\\$\\{([^{}]*)\\} (?:[a-z]+ )?(?:${nouns})\\b`, 'g')),
    ].flatMap(([text, expression = '']) =>
      /Max$|^counted\(|\.toFixed\(1\)$/.test(expression) ? [] : [`${file}: ${text}`],
    ),
  );
  expect(found).toEqual([
    // More than a node can keep, and a quarter of at least five.
    expect.stringContaining('nodes/follower.ts: '),
    expect.stringContaining('scope/withdrawal.ts: '),
  ]);
});
