import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { providerIn, wantsOffload, withProvider } from '../../../command/core/tls-offload.ts';
import { configs } from './proxy-configs.ts';

const cryptomb = { cryptomb: { pollDelay: '2ms', fallback: true } };

test.each(configs)('%s: what was there stays, with the provider or without', (_, config) => {
  const merged = withProvider(config);
  if (merged === undefined) return;
  expect(merged.startsWith(config)).toBe(true);
  expect(parse(merged)).toEqual({ ...(parse(config) ?? {}), privateKeyProvider: cryptomb });
});

test('configurations in block style get the provider, others and those with one stay', () => {
  const left = configs.filter(([, config]) => withProvider(config) === undefined);
  expect(left.map(([what]) => what)).toEqual([
    'JSON',
    'a flow mapping',
    'indented keys',
    'the start of a document',
    'the end of a document',
    'quoted keys',
    'a provider',
    'a quoted provider',
    'a provider in a comment',
    'a provider in JSON',
    'no YAML mapping',
    'a list',
  ]);
});

test('every mapping that YAML writes keeps its values beside the provider', () => {
  const values = fc.dictionary(
    fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9]{0,20}$/).filter((key) => key !== 'privateKeyProvider'),
    fc.jsonValue({ maxDepth: 3 }),
    { minKeys: 1, maxKeys: 5 },
  );
  fc.assert(
    fc.property(values, fc.boolean(), (given, trim) => {
      const text = stringify(given);
      const merged = withProvider(trim ? text.trimEnd() : text);
      if (merged === undefined) return;
      const { privateKeyProvider, ...rest } = parse(merged);
      expect(privateKeyProvider).toEqual(cryptomb);
      expect(rest).toEqual(parse(trim ? text.trimEnd() : text));
    }),
  );
});

test('the label of a pod wins over that of its namespace, and only auto is on', () => {
  const label = (value: string) => ({ 'lazyscope.io/tls-offload': value });
  expect(wantsOffload(undefined, label('auto'))).toBe(true);
  expect(wantsOffload(label('off'), label('auto'))).toBe(false);
  expect(wantsOffload(label('auto'), undefined)).toBe(true);
  expect(wantsOffload(label('yes'), label('auto'))).toBe(false);
});

test('the provider of a configuration is found, and none in what is no YAML', () => {
  expect(providerIn('privateKeyProvider: {qat: {pollDelay: 2ms}}')).toBe('qat');
  expect(providerIn(withProvider('') ?? '')).toBe('cryptomb');
  expect(providerIn('')).toBeUndefined();
  expect(providerIn('{')).toBeUndefined();
});
