import fc from 'fast-check';
import { expect, test } from 'vitest';
import { megabytes } from '../../../command/core/status-text.ts';
import { plainText, tableOf } from '../../../command/core/table.ts';

const columns = [
  { title: 'NAME', cell: ([name = '']: string[]) => name },
  { title: 'WHY', cell: ([, why = '']: string[]) => why, wide: true as const },
  { title: 'MODE', cell: ([, , mode = '']: string[]) => mode },
];
test('a saving of nearly nothing is zero without a sign', () => {
  expect([-20e3, 20e3, -0, 163_240_000, -60e3].map(megabytes)).toEqual([
    ...['0.0MB', '0.0MB', '0.0MB', '163.2MB', '-0.1MB'],
  ]);
});

const plain = { wide: false, paint: (text: string) => text };

test('columns are aligned, and an empty cell is a dash', () => {
  const rows = [
    ['cart', 'because', 'observe'],
    ['a-long-name', '', ''],
  ];
  expect(tableOf(columns, rows, plain)).toBe(
    'NAME          MODE\ncart          observe\na-long-name   -\n',
  );
  expect(tableOf(columns, rows, { ...plain, wide: true })).toBe(
    'NAME          WHY       MODE\ncart          because   observe\na-long-name   -         -\n',
  );
});

test('a table without rows is empty text', () => {
  expect(tableOf(columns, [], plain)).toBe('');
});

test('with any cells a table has one line for each row, and aligned columns', () => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.string({ unit: 'binary' }), { maxLength: 3 })), (rows) => {
      const lines = tableOf(columns, rows, { ...plain, wide: true })
        .split('\n')
        .slice(0, -1);
      expect(lines.length).toBe(rows.length === 0 ? 0 : rows.length + 1);
      const width = Math.max(4, ...rows.map(([name = '']) => [...plainText(name)].length));
      const gaps = new Set(lines.map((line) => [...line].slice(width, width + 3).join('')));
      expect([...gaps]).toEqual(rows.length === 0 ? [] : ['   ']);
    }),
  );
});

test('no text of an object can move the cursor', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may be left.
      expect(plainText(text)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
    }),
  );
  expect(plainText('a\u001b[2Jb\r\nc')).toBe('a [2Jb c');
});

test('a coloured cell has the width of a plain one', () => {
  const painted = [{ title: 'A', cell: (text: string) => ({ text, tone: 'bad' as const }) }];
  const two = [...painted, { title: 'B', cell: () => 'b' }];
  const paint = (text: string) => `<${text}>`;
  expect(tableOf(two, ['x', 'long'], { wide: false, paint })).toBe(
    '<A>      <B>\n<x>      b\n<long>   b\n',
  );
});
