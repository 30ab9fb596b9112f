import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const page = readFileSync(new URL('../../docs/threat-model.md', import.meta.url), 'utf8');
const rows = page.split('\n').filter((line) => /^\| (?!attempt|---)/.test(line));
const testsIn = (text: string) =>
  [...text.matchAll(/`(test\/[^`]+)`/g)].map(([, path = '']) => path);

test('each attempt of the threat model is possible, or prevented by what a test holds', () => {
  const unproven = rows.filter((row) => !row.includes('**it can**') && testsIn(row).length === 0);
  expect(rows.length).toBeGreaterThan(15);
  expect(unproven).toEqual([]);
});

test('every test that the threat model names exists', () => {
  const lost = testsIn(page).filter(
    (path) => !existsSync(new URL(`../../${path}`, import.meta.url)),
  );
  expect(lost).toEqual([]);
});
