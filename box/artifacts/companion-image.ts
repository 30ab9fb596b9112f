import { copyFile, cp, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { repoDir } from '../paths.ts';
import { run } from '../run.ts';
import { cached, hashOf, hashOfTree, type Progress } from './build-cache.ts';
import { baseLayer, fileLayer } from './image-layers.ts';
import { imageName, ociLayout } from './images.ts';
import { ensureBuild } from './product-build.ts';

/** A folder of sources, and their version. */
export type Release = { dir: string; version: string };
export const thisRelease: Release = { dir: repoDir, version: '0.1.0' };

/** The name in manifests/base/kustomization.yaml for this version. */
export const companionImage = ({ version }: Release) => `lazyscope/companion:${version}`;

/** The files that the Dockerfile copies from a build, apart from the Node.js modules. */
const contextFiles = [
  ...['Dockerfile', '.dockerignore', 'package.json', 'LICENSE', 'build/companion'],
  ...['companion/contract/companion.proto', 'build/filter.wasm', 'wasm-filter/previous'],
];

/**
 * The product's image as a docker archive, built by buildah from the Dockerfile that users get. The
 * base image is the mesh's own with this machine's Node.js; the files are those of `npm run build`,
 * because a build in the image would need a registry for its base.
 */
export async function companionArchive(
  progress: Progress,
  release: Release = thisRelease,
): Promise<string> {
  const { dir } = release;
  await ensureBuild(dir);
  const base = await nodeBase(progress);
  const modules = await productionModules(progress, dir);
  const image = companionImage(release);
  const inputs = await Promise.all(contextFiles.map((path) => hashOfTree(join(dir, path))));
  const pins = [base, image, modules, ...inputs];
  const built = await cached('companion-image', pins, progress, async (out) => {
    // A separate context, so that concurrent builds do not change each other's files.
    const context = join(out, 'context');
    for (const path of contextFiles)
      await cp(join(dir, path), join(context, path), { recursive: true });
    await cp(join(modules, 'node_modules'), join(context, 'build', 'image', 'node_modules'), {
      recursive: true,
    });
    const store = join(out, 'store');
    const buildah = (args: string[], cwd = context) =>
      run('buildah', [...storage(store), ...args], { cwd });
    // A relative path, because buildah derives the image's name from it.
    await buildah(['pull', '--quiet', `oci:${basename(base)}`], dirname(base));
    const localBase = `localhost/${basename(base)}`;
    const build = ['bud', '--isolation', 'chroot', '--pull-never', '--tag', image];
    const choice = ['--build-arg', 'ARTIFACTS=prebuilt', '--build-arg', `BASE_IMAGE=${localBase}`];
    await buildah([...build, ...choice, '.']);
    await buildah(['push', image, `docker-archive:${join(out, 'image.tar')}:${image}`]);
    for (const path of [store, context]) await rm(path, { recursive: true });
  });
  return join(built, 'image.tar');
}

/** A separate image store, to leave the machine's store alone. */
const storage = (dir: string) => [
  ...['--root', join(dir, 'root'), '--runroot', join(dir, 'run')],
  ...['--storage-driver', 'vfs'],
];

async function nodeBase(progress: Progress): Promise<string> {
  const node = await fileLayer(
    'node',
    [{ path: '/usr/local/bin/node', from: process.execPath }],
    progress,
  );
  const layers = [await baseLayer(progress), node];
  const image = { name: imageName('node'), layers, entrypoint: ['node'], user: '0' };
  return ociLayout([image], progress);
}

/**
 * The folder with the modules of `npm ci --omit=dev --omit=optional`, built once per lockfile.
 */
async function productionModules(progress: Progress, source: string): Promise<string> {
  const locks = ['package.json', 'package-lock.json', '.npmrc'];
  const pins = await Promise.all(locks.map((name) => hashOfTree(join(source, name))));
  return cached('companion-modules', [hashOf(pins)], progress, async (out) => {
    for (const name of locks) await copyFile(join(source, name), join(out, name));
    await run('npm', ['ci', '--omit=dev', '--omit=optional', '--no-audit', '--no-fund'], {
      cwd: out,
    });
  });
}
