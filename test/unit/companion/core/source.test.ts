import { expect, test } from 'vitest';
import { readNamespace } from '../../../../companion/controller/state/namespaces.ts';
import {
  type LearningSource,
  sourceInForce,
  sourceLabel,
} from '../../../../companion/core/scope/source.ts';

test.each<[string | undefined, LearningSource | undefined, LearningSource | undefined]>([
  [undefined, undefined, 'wasm'],
  [undefined, 'access-log', 'wasm'],
  ['wasm', 'access-log', 'wasm'],
  ['access-log', 'wasm', 'access-log'],
  ['acces-log', 'access-log', 'access-log'],
  ['acces-log', 'wasm', 'wasm'],
  ['', undefined, undefined],
])('label %j after %j means %j', (label, last, inForce) => {
  expect(sourceInForce(label, last)).toBe(inForce);
});

test('a mistake in the label of a namespace keeps the source of its earlier record', () => {
  const labelled = (source: string) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shop', labels: { [sourceLabel]: source } },
  });
  const before = readNamespace(labelled('access-log'));
  expect(readNamespace(labelled('Access-Log'), before).source).toBe('access-log');
});
