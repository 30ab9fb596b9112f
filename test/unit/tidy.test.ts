import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(join(root, file), 'utf8');

/** Files under version control or about to be, as a reader of the repository sees them. */
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(root, file)));

const ending = (...endings: string[]) =>
  files.filter((file) => endings.some((each) => file.endsWith(each)));

const code = ending('.ts', '.go', '.sh', '.c', '.h');
/** A test file may list more cases than a reader of code would bear. */
const linesMax = (file: string) =>
  file.includes('.test.') || file.endsWith('_test.go') ? 400 : 250;

test('no file of code is too long to be read in one go', () => {
  const long = code
    .map((file) => ({ file, lines: read(file).trimEnd().split('\n').length }))
    .filter(({ file, lines }) => lines > linesMax(file));
  expect(long).toEqual([]);
});

test('every file is named for what it holds', () => {
  expect(
    files.filter((file) => /(^|\/)(utils?|helpers?|misc|common|index)\.[tj]s$/.test(file)),
  ).toEqual([
    // AssemblyScript's entry file.
    'wasm-filter/index.ts',
  ]);
});

test('no test is skipped or alone', () => {
  const found = ending('.test.ts').filter((file) =>
    /\b(test|it|describe)\.(skip|only|todo)\b/.test(read(file)),
  );
  expect(found).toEqual([]);
});

test('every relative link in the documents leads somewhere', () => {
  const broken: string[] = [];
  for (const file of ending('.md'))
    for (const [, link = ''] of read(file).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g))
      if (!existsSync(join(root, dirname(file), link))) broken.push(`${file}: ${link}`);
  expect(broken).toEqual([]);
});

test('every make target and npm script that a document names exists', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const targets = [...read('Makefile').matchAll(/^([a-z]+):/gm)].map(([, name]) => name);
  const unknown: string[] = [];
  for (const file of ending('.md', 'Makefile', '.yml')) {
    for (const [, name = ''] of read(file).matchAll(/npm run (?:-s )?([a-z][a-z:-]*)/g))
      if (!(name in scripts)) unknown.push(`${file}: npm run ${name}`);
    for (const [, name = ''] of read(file).matchAll(/^\s*(?:`|- run: |\$ )?make ([a-z]+)\b/gm))
      if (!targets.includes(name)) unknown.push(`${file}: make ${name}`);
  }
  expect(unknown).toEqual([]);
});

test('every path of the repository that a document names in code style exists', () => {
  const folders = 'wasm-filter|companion|embedded|demo|box|manifests|test|bench';
  const broken: string[] = [];
  for (const file of ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'manifests/README.md'])
    for (const [, path = ''] of read(file).matchAll(
      new RegExp(`\`((?:${folders})/[A-Za-z0-9._/-]*)\``, 'g'),
    ))
      if (!existsSync(join(root, path))) broken.push(`${file}: ${path}`);
  expect(broken).toEqual([]);
});
