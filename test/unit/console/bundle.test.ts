import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { buildSync } from 'esbuild';
import { expect, test } from 'vitest';

const folder = join(import.meta.dirname, '../../../console');

/** As `npm run build:page` makes it. */
const bundle = buildSync({
  ...{ entryPoints: [join(folder, 'main.ts')], bundle: true, minify: true, format: 'esm' },
  ...{ target: 'es2022', write: false, metafile: true },
});

test('the page takes at most 150 kB, compressed', () => {
  const files = ['index.html', 'console.css', 'icon.svg'].map((name) =>
    readFileSync(join(folder, name)),
  );
  const parts = [...files, ...bundle.outputFiles.map(({ contents }) => contents)];
  const size = parts.reduce((sum, part) => sum + gzipSync(part).length, 0);
  expect(size).toBeLessThanOrEqual(150_000);
});

test('the page has no library, whose licence it would have to bring', () => {
  const others = Object.keys(bundle.metafile.inputs).filter(
    (path) => !/^console\/\w+\.ts$/.test(path),
  );
  expect(others).toEqual([]);
});

test('nothing moves by itself, which some readers must avoid', () => {
  const styles = readFileSync(join(folder, 'console.css'), 'utf8');
  expect(styles).not.toMatch(/animation|transition|scroll-behavior/);
});
