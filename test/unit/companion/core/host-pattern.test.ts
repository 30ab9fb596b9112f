import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createHostIndex, matchesHost } from '../../../../companion/core/mesh/host-pattern.ts';

const label = fc.constantFrom('a', 'b', 'a-int', 'com');
const host = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
const pattern = fc
  .tuple(host, fc.boolean(), fc.nat())
  .map(([name, isWild, cut]) => (isWild ? `*${name.slice(cut % (name.length + 1))}` : name));

/** Istio's order: the exact host first, then the longer wildcard (pkg/config/host/name.go). */
const bySpecificity = (name: string) => (a: string, b: string) =>
  Number(b === name) - Number(a === name) || b.length - a.length;

test('the index finds the same patterns as a search through all, the most specific first', () => {
  fc.assert(
    fc.property(fc.uniqueArray(pattern), host, (patterns, name) => {
      const index = createHostIndex<string>();
      for (const each of patterns) index.add(each, each);
      const matching = patterns.filter((each) => matchesHost(each, name)).sort(bySpecificity(name));
      expect(index.all(name)).toEqual(matching);
      expect(index.mostSpecific(name, () => true)).toEqual(matching.slice(0, 1));
    }),
  );
});

test('the patterns below a wildcard are all other patterns that it covers', () => {
  fc.assert(
    fc.property(fc.uniqueArray(pattern), host, (patterns, name) => {
      const index = createHostIndex<string>();
      for (const each of patterns) index.add(each, each);
      const wildcard = `*.${name}`;
      const covered = patterns.filter((each) => each !== wildcard && each.endsWith(`.${name}`));
      expect([...index.under(wildcard)].map(([each]) => each)).toEqual(covered);
    }),
  );
});

test('added and removed patterns leave nothing behind', () => {
  fc.assert(
    fc.property(fc.array(pattern), host, (patterns, name) => {
      const index = createHostIndex<string>();
      for (const each of patterns) index.add(each, each);
      for (const each of patterns) index.remove(each, each);
      expect([...index.all(name), ...index.patterns()]).toEqual([]);
    }),
  );
});
