import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { derive, picturePath } from '../readme.ts';

const root = join(import.meta.dirname, '../..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');

test('measured results and the picture are those of bench/results', () => {
  const { readme: derived, picture } = derive(readme);
  expect(readme).toBe(derived);
  expect(existsSync(join(root, picturePath))).toBe(true);
  if (picture) expect(readFileSync(join(root, picturePath), 'utf8')).toBe(picture);
});
