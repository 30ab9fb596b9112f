import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { groupsOf, recorded } from '../../gate/groups.ts';

const groups = groupsOf(true);
const names = groups.map(({ name }) => name);
const words = groups.map(({ command }) => command.join(' '));

/** A project that would lengthen the gate for what changes only with a release of Istio. */
const nightly = ['install'];

test('every project of the tests is in the gate, or runs every night', () => {
  const config = readFileSync(join(import.meta.dirname, '../../../vitest.config.ts'), 'utf8');
  const projects = [...config.matchAll(/\bname: '([\w-]+)'/g)].map(([, name]) => name);
  expect(projects.length).toBeGreaterThan(10);
  const workflow = join(import.meta.dirname, '../../../.github/workflows/fuzz.yml');
  const lines = readFileSync(workflow, 'utf8').split('\n');
  const missing = projects.filter((project) => {
    const runs = nightly.includes(project ?? '') ? lines : words;
    return !runs.some((line) => `${line} `.includes(`--project ${project} `));
  });
  expect(missing).toEqual([]);
});

test('every group has recorded seconds, and every record has a group', () => {
  expect(Object.keys(recorded).sort()).toEqual([...names].sort());
});

test('a group depends only on groups that are before it in the list', () => {
  for (const [at, { name, after = [] }] of groups.entries())
    for (const before of after)
      expect([name, before, names.slice(0, at).includes(before)]).toEqual([name, before, true]);
});

test('the quick part needs neither root nor Go, and the rest does not repeat its tests', () => {
  const quick = groups.filter((group) => group.quick);
  expect(quick.map(({ name }) => name)).toEqual([
    ...['check', 'build', 'unit', 'manifests', 'wasm', 'envoy-first'],
  ]);
  expect(quick.filter(({ needs }) => needs !== undefined)).toEqual([]);
  const first = groups.find(({ name }) => name === 'envoy-first')?.command ?? [];
  const files = first.filter((word) => word.startsWith('test/envoy/'));
  const rest = groups.find(({ name }) => name === 'envoy')?.command.join(' ');
  expect(files).toHaveLength(2);
  for (const file of files) expect(rest).toContain(`--exclude ${file}`);
});

test('without kubectl the tests of the manifests wait until kubectl is compiled', () => {
  const manifests = groupsOf(false).find(({ name }) => name === 'manifests');
  expect(manifests).toMatchObject({ after: ['tools'] });
  expect(manifests?.quick).toBeUndefined();
});

test('among the unit tests only the tests of the manifests need kubectl', () => {
  const folder = join(import.meta.dirname, '..');
  const others = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts') && !name.startsWith('manifests/'))
    .filter((name) => /\brender\b[^;]*render\.ts/.test(readFileSync(join(folder, name), 'utf8')));
  expect(others).toEqual([]);
});
