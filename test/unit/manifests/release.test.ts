import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { version } from '../../../companion/frame/version.ts';
import { copyOfManifests } from './copy.ts';
import { find, render, repository, valuesOf } from './render.ts';

const read = (file: string) => readFileSync(join(repository, file), 'utf8');

test.each<[string, () => unknown]>([
  ['package.json', () => JSON.parse(read('package.json')).version],
  ['package-lock.json', () => JSON.parse(read('package-lock.json')).packages[''].version],
  ['the tag of the companion', () => tagOf('manifests/base/kustomization.yaml')],
  ['the tag of the bypass', () => tagOf('manifests/components/bypass/kustomization.yaml')],
])('%s names the version that the command and the metrics show', (_, named) => {
  expect(named()).toBe(version);
});

test.each(['base', 'example', 'components/bypass', 'components/monitoring'])(
  'the objects of %s are labelled with this version',
  (folder) => {
    const objects = render(join(repository, 'manifests', folder));
    // The namespace of the example is one of a user.
    const ours = objects.filter(({ kind }) => folder !== 'example' || kind !== 'Namespace');
    const labels = ours.map(({ metadata }) => metadata.labels?.['app.kubernetes.io/version']);
    expect(new Set(labels)).toEqual(new Set([version]));
  },
);

function tagOf(file: string): string {
  return parseYaml(read(file)).images[0].newTag;
}

test.each(['README.md', 'docs/bypass.md', 'docs/try.md', 'Dockerfile', 'bpf/Dockerfile'])(
  '%s names images of this version only',
  (file) => {
    const tags = [...read(file).matchAll(/lazyscope\/(?:companion|bypass):([\w.]+)/g)];
    expect(tags.length).toBeGreaterThan(0);
    for (const [, tag] of tags) expect(tag).toBe(version);
  },
);

describe('pin-images.sh', () => {
  const companion = `registry.example:5000/a/companion@sha256:${'12'.repeat(32)}`;
  const bypass = `registry.example:5000/a/bypass@sha256:${'34'.repeat(32)}`;
  const pin = (folder: string, ...args: string[]) =>
    execFileSync(join(folder, 'pin-images.sh'), args, { encoding: 'utf8', stdio: 'pipe' });

  test('names both images by digest, as the release workflow calls it', () => {
    const folder = copyOfManifests();
    pin(folder, companion, bypass);
    const workloads = render(join(folder, 'base')).filter(({ spec }) => spec?.template);
    expect(new Set(valuesOf(workloads, 'image'))).toEqual(new Set([companion, 'auto']));
    const agent = find(render(join(folder, 'components/bypass')), 'DaemonSet', 'lazyscope-bypass');
    expect(valuesOf(agent, 'image')).toEqual([bypass]);
    const workflow = read('.github/workflows/release.yml');
    expect(workflow).toContain('manifests/pin-images.sh "$IMAGE@$DIGEST" "$BYPASS@$BYPASS_DIGEST"');
  });

  test.each([
    ['a missing image', [companion]],
    ['a tag', [companion, 'registry.example/bypass:0.1.0']],
    ['a short digest', [companion, 'registry.example/bypass@sha256:12']],
  ])('refuses %s', (_, args) => {
    expect(() => pin(copyOfManifests(), ...args)).toThrow();
  });
});

describe('krew.sh', () => {
  const downloads = 'https://github.com/owner/lazyscope/releases/download/v1.2.3';
  const [bundle, amd64, arm64] = ['bundle', 'amd64', 'arm64'];
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'lazyscope-krew-'));
    for (const name of [bundle, amd64, arm64])
      writeFileSync(join(folder, name), `#!/bin/sh\necho ${name} "$@"\n`);
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  const pack = (version: string, address: string, ...files: string[]) =>
    execFileSync(join(repository, 'packaging/krew.sh'), [version, address, ...files], {
      encoding: 'utf8',
      stdio: 'pipe',
      cwd: folder,
    });
  const files = [bundle, amd64, arm64, '.'];

  test('names archives with the licence and an executable for each platform', () => {
    const { apiVersion, kind, metadata, spec } = parseYaml(pack('1.2.3', downloads, ...files));
    expect([apiVersion, kind, metadata.name, spec.version]).toEqual([
      'krew.googlecontainertools.github.com/v1alpha2',
      'Plugin',
      'lazyscope',
      'v1.2.3',
    ]);
    expect(spec.homepage).toBe('https://github.com/owner/lazyscope');
    // krew refuses more than 50 characters in its list (docs, "Best practices").
    expect(spec.shortDescription.length).toBeLessThanOrEqual(50);
    const found: unknown[] = [];
    for (const { selector, uri, sha256, bin } of spec.platforms) {
      const { os, arch } = selector.matchLabels;
      const archive = join(folder, uri.replace(`${downloads}/`, ''));
      const content = readFileSync(archive);
      expect(createHash('sha256').update(content).digest('hex')).toBe(sha256);
      const listed = execFileSync('tar', ['-tzf', archive], { encoding: 'utf8' });
      expect(listed.split('\n').filter(Boolean)).toEqual(['LICENSE', bin]);
      execFileSync('tar', ['-xzf', archive, '-C', folder]);
      found.push([os, arch, execFileSync(join(folder, bin), ['x'], { encoding: 'utf8' })]);
    }
    expect(found).toEqual([
      ['linux', 'amd64', 'amd64 x\n'],
      ['linux', 'arm64', 'arm64 x\n'],
      ['darwin', 'amd64', 'bundle x\n'],
      ['darwin', 'arm64', 'bundle x\n'],
    ]);
  });

  test('makes the same bytes again', () => {
    expect(pack('1.2.3', downloads, ...files)).toBe(pack('1.2.3', downloads, ...files));
  });

  test.each([
    ['a tag in place of a version', ['v1.2.3', downloads, ...files]],
    ['an address without TLS', ['1.2.3', 'http://example.com', ...files]],
    ['a missing file', ['1.2.3', downloads, bundle, amd64, 'none', '.']],
    ['a missing folder', ['1.2.3', downloads, bundle, amd64, arm64]],
  ] as [string, [string, string, ...string[]]][])('refuses %s', (_, args) => {
    expect(() => pack(...args)).toThrow();
  });

  test('is called by the release workflow with what it takes, after the executables', () => {
    const workflow = read('.github/workflows/release.yml');
    expect(workflow).toMatch(
      /executable\.sh build\/lazyscope\.cjs .+ build\/lazyscope-linux-amd64[\s\S]*executable\.sh build\/lazyscope\.cjs .+ build\/lazyscope-linux-arm64[\s\S]*krew\.sh "\$\{TAG#v\}" "https:\S+" \\\n +build\/lazyscope\.cjs build\/lazyscope-linux-amd64 build\/lazyscope-linux-arm64 dist >/,
    );
  });
});

describe('executable.sh', () => {
  const make = (...args: string[]) =>
    execFileSync(join(repository, 'packaging/executable.sh'), args, { stdio: 'pipe' });

  test.each([
    ['nothing', [], 64],
    ['a missing bundle', ['/none/lazyscope.cjs', process.execPath, '/none/out'], 66],
    ['a missing Node.js', [join(repository, 'package.json'), '/none/node', '/none/out'], 66],
  ] as [string, string[], number][])('refuses %s', (_, args, status) => {
    expect(() => make(...args)).toThrow(expect.objectContaining({ status }));
  });
});
