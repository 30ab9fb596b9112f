import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { filesBelow, type Manifest, parse, repository, valuesOf } from './render.ts';

const read = (file: string) => readFileSync(join(repository, file), 'utf8');
const dockerfile = read('Dockerfile').replace(/\\\n/g, ' ');
const last = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '));

test('the image runs the companion as a numbered user that owns none of its files', () => {
  expect(last).toMatch(/^USER [1-9]\d*:[1-9]\d*$/m);
  expect(last).toMatch(/^ENTRYPOINT \["node", "\/app\/companion\/main\.js"\]$/m);
  expect(last).not.toMatch(/--chown|\nRUN /);
});

test('both ways to build the image produce the same files', () => {
  for (const path of [
    '/app/build',
    'wasm-filter/previous',
    '/app/companion',
    'node_modules',
    'package.json',
  ])
    for (const stage of ['source', 'prebuilt']) {
      const from = dockerfile.indexOf(` AS ${stage}\n`);
      expect(dockerfile.slice(from, dockerfile.indexOf('\nFROM ', from))).toContain(path);
    }
});

test('the build context contains only the copied files by default', () => {
  const [everything, ...allowed] = read('.dockerignore')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  expect(everything).toBe('*');
  const copies = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)];
  const sources = copies.flatMap(([, paths]) => String(paths).split(' '));
  expect(sources.length).toBeGreaterThan(8);
  const lets = (path: string) =>
    allowed.some((line) => `!${path}` === line || `!${path}`.startsWith(`${line}/`));
  for (const path of sources) expect([path, lets(path)]).toEqual([path, true]);
});

describe.each(filesBelow(join(repository, '.github/workflows'), '.yml'))('$name', ({ text }) => {
  const [workflow] = parse(text) as [Manifest];

  test('has read-only permissions by default, and a timeout', () => {
    expect(workflow.permissions).toEqual({ contents: 'read' });
    for (const job of Object.values(workflow.jobs as Record<string, Manifest>))
      expect(job['timeout-minutes']).toBeLessThanOrEqual(180);
  });

  test('pins its actions and interpolates no untrusted value into a script', () => {
    const actions = valuesOf(workflow, 'uses');
    expect(actions.length).toBeGreaterThan(1);
    for (const action of actions) expect(action).toMatch(/^[\w-]+\/[\w-]+@(v\d+|[0-9a-f]{40})$/);
    for (const script of valuesOf(workflow, 'run')) expect(script).not.toContain('${{');
  });

  test('runs npm scripts that exist', () => {
    const { scripts } = JSON.parse(read('package.json'));
    const runs = valuesOf(workflow, 'run').flatMap((script) => [
      ...String(script).matchAll(/npm run -s ([\w:]+)/g),
    ]);
    for (const [, script] of runs) expect(scripts).toHaveProperty([String(script)]);
  });
});
