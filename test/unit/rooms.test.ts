import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, test } from 'vitest';

/** Holds the imports of each folder to the parts that ARCHITECTURE.md describes. */

const root = join(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(join(root, file), 'utf8');

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => existsSync(join(root, file)));

type Import = { from: string; to: string; typesOnly: boolean };

const imports: Import[] = files
  .filter((file) => file.endsWith('.ts'))
  .flatMap((from) => {
    const statements = read(from).matchAll(
      /^(import type|export type|import|export)\b[^;']*from '(\.[^']+)'|\bimport\('(\.[^']+)'\)/gm,
    );
    return [...statements].map(([, kind, path, loaded]) => ({
      from,
      // AssemblyScript names a file without its extension.
      to: normalize(join(dirname(from), path ?? loaded ?? '')).replace(
        /^(wasm-filter\/\w+)$/,
        '$1.ts',
      ),
      typesOnly: kind?.endsWith(' type') ?? false,
    }));
  });

/** Calls of C functions between files, as arrows between the files. */
function callsBetweenCFiles(): Import[] {
  const sources = files.filter((file) => /^bpf\/\w+\.c$/.test(file));
  const definedIn = new Map<string, string>();
  for (const file of sources)
    for (const [, name = ''] of read(file).matchAll(/^(?!static)\w[\w *]*?\b(\w+)\([^;]*?\)\n\{/gm))
      definedIn.set(name, file);
  return sources.flatMap((from) => {
    const called = [...read(from).matchAll(/\b(\w+)\(/g)].map(([, name = '']) => name);
    return [...new Set(called.flatMap((name) => definedIn.get(name) ?? []))]
      .filter((to) => to !== from)
      .map((to) => ({ from, to, typesOnly: false }));
  });
}

/** Files that can be reached from a file by following arrows. */
function reach(arrows: Map<string, string[]>, from: string): Set<string> {
  const found = new Set<string>();
  const next = [...(arrows.get(from) ?? [])];
  for (let file = next.pop(); file !== undefined; file = next.pop()) {
    if (found.has(file)) continue;
    found.add(file);
    next.push(...(arrows.get(file) ?? []));
  }
  return found;
}

function circles(all: readonly Import[]): string[] {
  const arrows = new Map<string, string[]>();
  for (const { from, to } of all) arrows.set(from, [...(arrows.get(from) ?? []), to]);
  return [...arrows.keys()].filter((file) => reach(arrows, file).has(file));
}

const inRoom = (file: string, room: string) => file.startsWith(`${room}/`);

test('the test finds imports', () => {
  expect(imports.length).toBeGreaterThan(1_000);
  expect(imports).toContainEqual({
    from: 'companion/main.ts',
    to: 'companion/node/node.ts',
    typesOnly: false,
  });
  expect(imports).toContainEqual({
    from: 'wasm-filter/index.ts',
    to: 'wasm-filter/filter.ts',
    typesOnly: false,
  });
  expect(callsBetweenCFiles()).toContainEqual({
    from: 'bpf/loader.c',
    to: 'bpf/engine.c',
    typesOnly: false,
  });
});

test.each([
  ['arrows in a circle', ['a b', 'b c', 'c a', 'c d'], ['a', 'b', 'c']],
  ['arrows without a circle', ['a b', 'a c', 'b d', 'c d'], []],
])('the test finds the circle: %s', (_, arrows, expected) => {
  const all = arrows.map((arrow) => {
    const [from = '', to = ''] = arrow.split(' ');
    return { from, to, typesOnly: false };
  });
  expect(circles(all)).toEqual(expected);
});

test('no file outside test/ imports itself through others, not even for types', () => {
  expect(circles(imports.filter(({ from }) => !inRoom(from, 'test')))).toEqual([]);
});

test('no C file calls itself through another', () => {
  expect(circles(callsBetweenCFiles())).toEqual([]);
});

test('the core imports itself, parsers, and types of kube/object.ts, and nothing else', () => {
  const allowed = 'companion/kube/object.ts';
  const out = imports.filter(
    ({ from, to, typesOnly }) =>
      inRoom(from, 'companion/core') &&
      !inRoom(to, 'companion/core') &&
      !(to === allowed && typesOnly),
  );
  expect(out).toEqual([]);
  const packages = files
    .filter((file) => inRoom(file, 'companion/core') && file.endsWith('.ts'))
    .flatMap((file) => [...read(file).matchAll(/from '([^.'][^']*)'/g)].map(([, name]) => name));
  // These packages only parse: addresses, the text of a ConfigMap, and the content of that text.
  expect([...new Set(packages)].sort()).toEqual(['node:net', 'yaml', 'zod']);
});

/** Each folder with the folders that it may import from, apart from itself. */
const allowed: Record<string, string[]> = {
  'companion/core/mesh': [],
  'companion/core/first-call': ['companion/core/mesh'],
  'companion/core/scope': ['companion/core/mesh', 'companion/core/first-call'],
  'companion/core/compact': [
    'companion/core/mesh',
    'companion/core/first-call',
    'companion/core/scope',
  ],
  'companion/core/history': [
    'companion/core/mesh',
    'companion/core/first-call',
    'companion/core/scope',
  ],
  'companion/bounds': [],
  'companion/contract': ['companion/core'],
  'companion/frame': ['companion/bounds'],
  'companion/kube': ['companion/bounds', 'companion/frame'],
};

test.each(Object.entries(allowed))('%s imports only from folders below it', (room, below) => {
  const found = imports.filter(
    ({ from, to }) =>
      inRoom(from, room) &&
      ![room, ...below].some((other) => inRoom(to, other)) &&
      to !== 'companion/kube/object.ts',
  );
  expect(found).toEqual([]);
});

test('no role imports another', () => {
  const roles = ['companion/controller', 'companion/node', 'companion/bypass'];
  const found = imports.filter(({ from, to }) =>
    roles.some((role) => inRoom(from, role) && roles.some((o) => o !== role && inRoom(to, o))),
  );
  expect(found).toEqual([]);
});

/** What the command uses of the companion: the controller's reading and deciding, no role. */
const usedByCommand = [
  ...['companion/core/', 'companion/kube/', 'companion/frame/version.ts'],
  'companion/controller/explain/',
];
/** What its `mesh/` uses besides: the settings, and what the controller knows and decides. */
const usedByMesh = [
  'companion/frame/config.ts',
  'companion/frame/settings.ts',
  'companion/controller/state/',
  'companion/controller/watch/informers.ts',
  'companion/controller/nodes/answer.ts',
  'companion/controller/nodes/mesh-view.ts',
  'companion/controller/reconcile/inputs.ts',
];

test('the command uses the companion’s decisions, and runs no role', () => {
  const found = imports.filter(
    ({ from, to }) =>
      inRoom(from, 'command') &&
      inRoom(to, 'companion') &&
      !usedByCommand.some((used) => to.startsWith(used)) &&
      !(inRoom(from, 'command/mesh') && usedByMesh.some((used) => to.startsWith(used))),
  );
  expect(found).toEqual([]);
});

test('the core of the command imports itself and the core of the companion', () => {
  const found = imports.filter(
    ({ from, to, typesOnly }) =>
      inRoom(from, 'command/core') &&
      !['command/core', 'companion/core'].some((room) => inRoom(to, room)) &&
      !(to === 'companion/kube/object.ts' && typesOnly),
  );
  expect(found).toEqual([]);
});

test.each([
  ['a cluster', /kube\/request\.ts/, ['command/frame/cluster.ts']],
  // Streams to pods are apart from requests, in a file that only the cluster uses.
  [
    'the official client',
    /@kubernetes\/client-node/,
    ['command/frame/cluster.ts', 'command/frame/pod-streams.ts'],
  ],
  ['the streams of the process', /\bstd(out|err)\b/, ['command/frame/output.ts']],
  ['files', /node:fs|\bstdin\b/, ['command/frame/files.ts']],
  ['other programs', /node:child_process/, ['command/frame/browser.ts']],
])('only the named files of the command touch %s', (_, text, only) => {
  const touching = files.filter((file) => inRoom(file, 'command') && text.test(read(file)));
  expect(touching.sort()).toEqual(only);
});

test.each([
  ['companion', ['command', 'embedded', 'demo', 'box', 'bench', 'test']],
  ['command', ['embedded', 'demo', 'box', 'bench', 'test']],
  ['embedded', ['command', 'demo', 'box', 'bench', 'test']],
  ['demo', ['command', 'box', 'bench', 'test']],
  ['box', ['command', 'bench', 'test']],
  ['bench', ['test']],
  ['test', ['bench']],
])('%s does not know %s', (room, others) => {
  const found = imports.filter(
    ({ from, to }) => inRoom(from, room) && others.some((other) => inRoom(to, other)),
  );
  expect(found).toEqual([]);
});
