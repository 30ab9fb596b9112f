import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
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
