import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { filesBelow, repository } from './manifests/render.ts';

const read = (file: string) => readFileSync(join(repository, file), 'utf8');
const manifest = JSON.parse(read('package.json'));
const lock = JSON.parse(read('package-lock.json'));

type Locked = { version: string; resolved?: string; integrity?: string; dev?: boolean };
const locked = Object.entries(lock.packages as Record<string, Locked>).filter(([path]) => path);

test('every dependency has one version, and the lock file agrees', () => {
  const wanted = { ...manifest.dependencies, ...manifest.devDependencies };
  for (const [name, version] of Object.entries(wanted)) {
    expect([name, version]).toEqual([name, expect.stringMatching(/^\d+\.\d+\.\d+$/)]);
    expect(lock.packages[`node_modules/${name}`].version).toBe(version);
  }
});

test('every locked package is checked by its digest', () => {
  expect(locked.length).toBeGreaterThan(50);
  const loose = locked.filter(([, { integrity, resolved }]) => {
    return (
      !integrity?.startsWith('sha512-') || (resolved ?? 'https:').startsWith('https:') === false
    );
  });
  expect(loose.map(([path]) => path)).toEqual([]);
});

test('no package may run an install script, here or in the image', () => {
  expect(read('.npmrc').split('\n')).toContain('ignore-scripts=true');
  const shown = execFileSync('npm', ['config', 'get', 'ignore-scripts'], { cwd: repository });
  expect(String(shown).trim()).toBe('true');
  const dockerfile = read('Dockerfile');
  expect(dockerfile.indexOf('.npmrc')).toBeLessThan(dockerfile.indexOf('RUN npm ci'));
  expect(
    Object.keys(manifest.scripts).filter((name) => /^(pre|post)?(install|prepare)/.test(name)),
  ).toEqual([]);
});

test('packages are installed from the lock file alone', () => {
  const files = [
    ...filesBelow(join(repository, '.github'), '.yml'),
    { name: 'Dockerfile', text: read('Dockerfile') },
    { name: 'Makefile', text: read('Makefile') },
  ];
  const installs = files.flatMap(({ name, text }) =>
    [...text.matchAll(/npm (install|i|add|update)\b.*/g)].map(([line]) => `${name}: ${line}`),
  );
  expect(installs).toEqual([]);
});

test('every push audits the dependencies', () => {
  expect(read('.github/workflows/ci.yml')).toMatch(/run: npm audit --audit-level=low$/m);
});
