import { readdirSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fileOrders, orderOf } from '../../gate/file-order.ts';

const directoryOf: Record<string, string> = {
  mesh: 'test/mesh',
  'mesh-lifecycle': 'test/mesh/lifecycle',
};

const sortedNames = (names: readonly string[]) => [...names].sort();

test.each(Object.keys(fileOrders))('every file of %s has one place in the order', (project) => {
  const files = readdirSync(directoryOf[project] ?? `test/mesh/${project}`)
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => name.replace('.test.ts', ''));
  expect(sortedNames(orderOf(project, undefined) ?? [])).toEqual(sortedNames(files));
});

test('a seed changes the order of the namespaced files and of no other', () => {
  fc.assert(
    fc.property(fc.constantFrom(...Object.keys(fileOrders)), fc.integer(), (project, seed) => {
      const { namespaced, meshWide } = fileOrders[project] ?? { namespaced: [], meshWide: [] };
      const order = orderOf(project, seed) ?? [];
      expect(order.slice(namespaced.length)).toEqual(meshWide);
      expect(sortedNames(order.slice(0, namespaced.length))).toEqual(sortedNames(namespaced));
      expect(orderOf(project, seed)).toEqual(order);
    }),
  );
  const orders = Array.from({ length: 50 }, (_, seed) => orderOf('product', seed)?.join());
  expect(new Set(orders).size).toBeGreaterThan(40);
});

test('a project without a mesh has no written order', () => {
  expect(orderOf('unit', 1)).toBeUndefined();
});
