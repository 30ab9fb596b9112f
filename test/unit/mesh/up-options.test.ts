import { expect, test } from 'vitest';
import { readEnable, readUp } from '../../../box/up-options.ts';

const read = (words: string) => readUp(words.split(' ').filter(Boolean));

test('without options the mesh is plain and has two nodes', () => {
  const plain = { nodes: 2, services: 0, shop: false, product: false, enforce: [] };
  expect(read('')).toEqual(plain);
});

test('the product is installed with its settings, and every named namespace is enforced', () => {
  expect(read('--product --enforce a --enforce b --learning-seconds 5 --shop')).toMatchObject({
    ...{ product: true, shop: true, enforce: ['a', 'b'], learningSeconds: 5 },
  });
});

test.each([
  ['--enforce shop', '--enforce shop needs --product'],
  ['--learning-seconds 5', '--learning-seconds needs --product'],
  ['--product --learning-seconds -1', "'--learning-seconds' argument is ambiguous"],
  ['--product --learning-seconds 1.5', '--learning-seconds 1.5: give a whole number from 0'],
  ['--product --learning-seconds 1e9', '--learning-seconds 1e9: give a whole number from 0'],
  ['--product --enforce Shop', "'Shop' is not a name of a namespace"],
  ['--services many', '--services many: give a whole number from 0 to 50000'],
  ['--shops', "Unknown option '--shops'"],
])('up %s is refused with the error', (words, message) => {
  expect(() => read(words)).toThrow(message);
});

test('enable takes one namespace, one mode, and the source of what is learned', () => {
  const shop = { namespace: 'shop', mode: 'observe' };
  expect(readEnable(['shop', 'observe'])).toEqual({ ...shop, source: 'wasm' });
  const byLog = readEnable(['shop', 'observe', '--source', 'access-log']);
  expect(byLog).toEqual({ ...shop, source: 'access-log' });
  expect(() => readEnable(['shop', 'observe', '--source', 'logs'])).toThrow('--source logs: give');
  expect(() => readEnable(['shop', 'observe', '--sauce'])).toThrow("'observe --sauce': give one");
  expect(() => readEnable(['shop'])).toThrow("'': give one mode of observe, enforce, off");
  expect(() => readEnable(['shop', 'on'])).toThrow("'on': give one mode of observe, enforce, off");
  expect(() => readEnable([])).toThrow("'' is not a name of a namespace");
});
