import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { version } from '../../../companion/frame/version.ts';
import { manifests } from './render.ts';

/** A checkout with builders that note their arguments and build nothing. */
function checkout(...builders: string[]) {
  const root = mkdtempSync(join(tmpdir(), 'lazyscope-save-image-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  cpSync(manifests, join(root, 'manifests'), { recursive: true });
  writeFileSync(join(root, 'Dockerfile'), '');
  mkdirSync(join(root, 'bin'));
  const notes = join(root, 'notes');
  for (const builder of builders)
    writeFileSync(join(root, 'bin', builder), `#!/bin/sh\necho "${builder} $*" >> ${notes}\n`, {
      mode: 0o755,
    });
  return {
    root,
    /** Runs the script; returns the commands that it gave to the builders. */
    run(args: string[], env: NodeJS.ProcessEnv = {}): string[] {
      const PATH = `${join(root, 'bin')}:/usr/bin:/bin`;
      execFileSync(join(root, 'manifests', 'save-image.sh'), args, {
        ...{ cwd: root, encoding: 'utf8', stdio: 'pipe', env: { PATH, ...env } },
      });
      return readFileSync(notes, 'utf8').trim().split('\n');
    },
  };
}

const image = `docker.io/lazyscope/companion:${version}`;
const arm = ['--platform', 'linux/arm64'];

test.each([
  ['docker', 'build', `save --output FILE ${image}`],
  ['podman', 'build', `save --format docker-archive --output FILE ${image}`],
  ['buildah', 'bud', `push ${image} docker-archive:FILE:${image}`],
])('save-image.sh saves by %s the image that the manifests name', (builder, build, save) => {
  const { run, root } = checkout('docker', 'podman', 'buildah');
  expect(run(['image.tar', ...arm], { BUILDER: builder })).toEqual([
    `${builder} ${build} ${arm.join(' ')} --tag ${image} .`,
    `${builder} ${save.replace('FILE', join(root, 'image.tar'))}`,
  ]);
});

test('save-image.sh takes the first builder that is there', () => {
  const first = (...builders: string[]) =>
    checkout(...builders)
      .run(['image.tar'])[0]
      ?.split(' ')[0];
  expect(first('buildah', 'podman', 'docker')).toBe('docker');
  expect(first('buildah', 'podman')).toBe('podman');
});

test('save-image.sh refuses wrong usage, an unknown builder and manifests without a tag', () => {
  const { run, root } = checkout('docker');
  expect(() => run([])).toThrow('usage:');
  expect(() => run(['image.tar'], { BUILDER: 'kaniko' })).toThrow("'kaniko' builds no images");
  const digest = `sha256:${'12'.repeat(32)}`;
  const pinned = [`registry.example/companion@${digest}`, `registry.example/bypass@${digest}`];
  execFileSync(join(root, 'manifests', 'pin-images.sh'), pinned);
  expect(() => run(['image.tar'])).toThrow('take the archive of a release');
});
