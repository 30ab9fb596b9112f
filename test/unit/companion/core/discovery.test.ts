import { describe, expect, test } from 'vitest';
import { isDiscovered, readDiscoverySelectors } from '../../../../companion/core/mesh/discovery.ts';

const selectors = `
rootNamespace: istio-system
discoverySelectors:
- matchLabels: {env: prod, region: us}
- matchExpressions:
  - {key: team, operator: In, values: [a, b]}
  - {key: hidden, operator: DoesNotExist}
- matchExpressions:
  - {key: special, operator: Exists}
  - {key: special, operator: NotIn, values: ["no"]}
`;

test.each([
  [{ env: 'prod', region: 'us' }, true],
  [{ env: 'prod' }, false],
  [{ team: 'b' }, true],
  [{ team: 'c' }, false],
  [{ team: 'a', hidden: '' }, false],
  [{ special: 'yes' }, true],
  [{ special: 'no' }, false],
  [{}, false],
])('of several discoverySelectors one that matches is enough: %j', (labels, expected) => {
  expect(isDiscovered(readDiscoverySelectors(selectors), labels)).toBe(expected);
});

test.each(['', 'trustDomain: cluster.local', 'discoverySelectors:', 'discoverySelectors: []'])(
  'a mesh without discoverySelectors discovers every namespace: %j',
  (mesh) => {
    expect(isDiscovered(readDiscoverySelectors(mesh), {})).toBe(true);
  },
);

test('a NotIn alone matches where there is no such label', () => {
  const mesh = 'discoverySelectors: [{matchExpressions: [{key: a, operator: NotIn, values: [b]}]}]';
  expect(isDiscovered(readDiscoverySelectors(mesh), {})).toBe(true);
});

describe('selectors that istiod would refuse are refused', () => {
  test.each([
    'discoverySelectors: 1',
    'discoverySelectors: [{matchLabels: [a]}]',
    'discoverySelectors: [{matchExpressions: [{key: a, operator: Like, values: [b]}]}]',
    'discoverySelectors: [{matchExpressions: [{key: a, operator: In}]}]',
    'a: [',
  ])('%s', (mesh) => {
    expect(() => readDiscoverySelectors(mesh)).toThrow();
  });
});
