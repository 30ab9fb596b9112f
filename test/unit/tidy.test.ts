import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { commentLinesOf, files, functionsOf, read, root } from './source.ts';

const ending = (...endings: string[]) =>
  files.filter((file) => endings.some((each) => file.endsWith(each)));

const code = ending('.ts', '.go', '.sh', '.c', '.h');
/** A test file may list more cases than a reader of code would accept. */
const linesMax = (file: string) =>
  file.includes('.test.') || file.endsWith('_test.go') ? 400 : 250;

test('no file of code is too long to be read in one go', () => {
  const long = code
    .map((file) => ({ file, lines: read(file).trimEnd().split('\n').length }))
    .filter(({ file, lines }) => lines > linesMax(file));
  expect(long).toEqual([]);
});

test('no file has a name that says nothing about its content', () => {
  expect(
    files.filter((file) => /(^|\/)(utils?|helpers?|misc|common|index)\.[tj]s$/.test(file)),
  ).toEqual([
    // AssemblyScript's entry file.
    'wasm-filter/index.ts',
  ]);
});

test('no test is skipped or exclusive', () => {
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
  const folders = 'wasm-filter|companion|command|charts|embedded|demo|box|manifests|test|bench';
  const broken: string[] = [];
  for (const file of ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'manifests/README.md'])
    for (const [, path = ''] of read(file).matchAll(
      new RegExp(`\`((?:${folders})/[A-Za-z0-9._/-]*)\``, 'g'),
    ))
      if (!existsSync(join(root, path))) broken.push(`${file}: ${path}`);
  expect(broken).toEqual([]);
});

const sources = ending('.ts').filter((file) => !file.includes('.test.'));
const product = /^(companion|console|command|charts|embedded|demo|box|bench|wasm-filter)\//;

test('no function is longer than a screen, apart from the functions inside it', () => {
  const functions = sources
    .filter((file) => product.test(file))
    .flatMap((file) => functionsOf(file).map((each) => ({ file, ...each })));
  expect(functions.length).toBeGreaterThan(2_000);
  // One table of the entries of each kind in the indexes, and one table of the lookups: the content
  // of the catalog.
  const allowed = 'companion/core/mesh/catalog.ts createCatalog';
  expect(
    functions.filter(({ file, name, lines }) => lines > 70 && `${file} ${name}` !== allowed),
  ).toEqual([]);
});

test.each([
  ['one', 'function f() {\n  a();\n  b();\n}', [{ name: 'f', lines: 4 }]],
  [
    'a factory',
    'function make() {\n  return {\n    run() {\n      a();\n    },\n  };\n}',
    [
      { name: 'run', lines: 3 },
      { name: 'make', lines: 5 },
    ],
  ],
  ['an arrow', 'const g = () => {\n  a();\n};', [{ name: 'g', lines: 3 }]],
])('the lines of a function are counted: %s', (_, text, expected) => {
  expect(functionsOf('any.ts', text)).toEqual(expected);
});

test('no comment is wider than the code', () => {
  const wide = ending('.ts').flatMap((file) =>
    commentLinesOf(file)
      .filter(({ text }) => text.length > 100 && !/https?:\/\/\S{60}|biome-ignore/.test(text))
      .map(({ line, text }) => `${file}:${line} ${text.length}`),
  );
  expect(wide).toEqual([]);
});

/** Files of Istio, Envoy and the kernel that a comment may name. */
const foreign =
  /^(pilot|pkg|tools|security|source|api|contrib|mesh|ext|include|linux|net|netinet)\/|^(sysexits|vmlinux|proxy_wasm_common)\.h$|^image-layout\.md$/;

test('every file that a comment names exists', () => {
  const names = new Set(files.map((file) => basename(file)));
  const lost: string[] = [];
  for (const file of [...ending('.ts'), ...ending('.c', '.h')]) {
    const lines = file.endsWith('.ts')
      ? commentLinesOf(file).map(({ text }) => text)
      : [...read(file).matchAll(/\/\*.*?\*\//gs)].map(([text]) => text);
    for (const text of lines)
      for (const [, path = ''] of text.matchAll(
        /(?<![\w/.:-])((?:[\w.-]+\/)*[\w-]+(?:\.[\w-]+)*\.(?:ts|md|proto|c|h|sh|ya?ml))\b/g,
      )) {
        const isHere =
          existsSync(join(root, path)) ||
          existsSync(join(root, dirname(file), path)) ||
          files.some((each) => each.endsWith(`/${path}`)) ||
          (!path.includes('/') && names.has(path));
        if (!isHere && !foreign.test(path)) lost.push(`${file}: ${path}`);
      }
  }
  expect(lost).toEqual([]);
});

test('no comment sends its reader to a document without a name', () => {
  const found = ending('.ts', '.c', '.h').filter((file) =>
    /\bDESIGN\b|: the contract\b|see "[^"]+" (?:above|below)/.test(read(file)),
  );
  expect(found.filter((file) => file !== 'test/unit/tidy.test.ts')).toEqual([]);
});

test('no part in C measures time by a clock that can be set', () => {
  const found = ending('.c', '.h').filter((file) =>
    /\btime\(NULL\)|\bgettimeofday\b|CLOCK_REALTIME/.test(read(file)),
  );
  expect(found).toEqual([]);
});

/** Phrases that hide the subject or the time of a sentence, and their plain forms. */
const riddles: [RegExp, string][] = [
  [/\b(tells?|told) of\b/i, 'report, show or name'],
  [/\bof before\b(?! \?|\))/i, 'previous or earlier'],
  [/\bwhoever\b/i, 'name the client, user or caller'],
  [/\b(is|are) to be\b/i, 'must be'],
  [/\ball the same\b/i, 'nevertheless'],
  [/\bhis (word|own)\b/i, 'the user is "they"'],
];

test('no document, comment or title uses an unclear phrase', () => {
  const found = files
    .filter((file) => /\.(ts|go|c|h|java|md|ya?ml|sh|proto)$/.test(file))
    .filter((file) => file !== 'CONTRIBUTING.md' && file !== 'test/unit/tidy.test.ts')
    .flatMap((file) =>
      riddles
        .filter(([phrase]) => phrase.test(read(file).replace(/\s*\n\s*(\/\/|\*|#)?\s*/g, ' ')))
        .map(([phrase, plain]) => `${file}: ${phrase} (write: ${plain})`),
    );
  expect(found).toEqual([]);
});
