import { expect, test } from 'vitest';
import { scopeChanges } from '../../../../companion/core/history/scope-changes.ts';
import {
  readWorkloadScope,
  type ScopeRecord,
} from '../../../../companion/core/scope/workload-scope.ts';

const record = (status: object | undefined, uid = 'u'): ScopeRecord =>
  readWorkloadScope({
    apiVersion: 'lazyscope.io/v1alpha1',
    kind: 'WorkloadScope',
    metadata: { namespace: 'shop', name: 'web', uid },
    ...(status && { status: { mode: 'enforce', conditions: [], ...status } }),
  });
const hosts = (...names: string[]) => ({
  hosts: names.map((host) => ({ host, reason: 'learned' })),
});
const scoped = (status: string, reason: string) => ({
  ...hosts(),
  conditions: [{ type: 'Scoped', status, reason, message: '', lastTransitionTime: '' }],
});

test.each([
  ['a host that came', hosts('a'), hosts('a', 'b'), ['host-added b learned']],
  ['a host that went', hosts('a', 'b'), hosts('b'), ['host-removed a learned']],
  ['another mode', hosts(), { ...hosts(), mode: 'off' }, ['mode  off']],
  ['a scope in force', scoped('False', 'Learning'), scoped('True', 'Scoped'), ['scoped  Scoped']],
  ['a scope withdrawn', scoped('True', 'Scoped'), scoped('False', 'Silent'), ['unscoped  Silent']],
  [
    'the first status of a scope',
    undefined,
    { ...hosts('a'), ...scoped('True', 'X') },
    ['scoped  X'],
  ],
  ['the same', hosts('a'), hosts('a'), []],
])('%s', (_, before, after, expected) => {
  const found = scopeChanges(record(before), record(after), 5);
  expect(found.map(({ kind, host, detail }) => `${kind} ${host} ${detail}`)).toEqual(expected);
});

test('the first record of a scope, and one of another object, are no changes', () => {
  expect(scopeChanges(undefined, record(hosts('a')), 5)).toEqual([]);
  expect(scopeChanges(record(hosts('a'), 'old'), record(hosts('b')), 5)).toEqual([]);
});
