import { createHash } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withSbin } from '../bypass/leftovers.ts';
import { loaderPath, repoDir } from '../paths.ts';
import { run } from '../run.ts';
import { cached, hashOf, type Progress } from './build-cache.ts';
import { companionArchive, thisRelease } from './companion-image.ts';

const image = `docker.io/lazyscope/bypass:${thisRelease.version}`;
/** As in bpf/Dockerfile. */
const capabilities = 'cap_bpf,cap_net_admin,cap_perfmon+ep';
const target = 'app/bypass/lazyscope-bypass';

/**
 * The image of the bypass as a docker archive: the companion's with one more layer, which has the
 * loader of `make -C bpf` where the last stage of bpf/Dockerfile puts it. The stage before needs a
 * registry for its compiler.
 */
export async function bypassArchive(progress: Progress): Promise<string> {
  const companion = await companionArchive(progress);
  await run('make', ['-C', join(repoDir, 'bpf')]);
  const pins = [companion, image, capabilities, hashOf([await readFile(loaderPath)])];
  const built = await cached('bypass-image', pins, progress, async (out) => {
    const parts = join(out, 'parts');
    await mkdir(parts);
    await run('tar', ['-xf', companion, '-C', parts]);
    await addLayer(parts, await layerOf(out, parts));
    await run('tar', ['-cf', join(out, 'image.tar'), '-C', parts, ...(await readdir(parts))]);
    await rm(parts, { recursive: true });
  });
  return join(built, 'image.tar');
}

/** Writes the layer into a folder; returns its digest. The capabilities are an attribute in it. */
async function layerOf(work: string, folder: string): Promise<string> {
  const root = join(work, 'root');
  const file = join(root, target);
  await mkdir(join(file, '..'), { recursive: true });
  await copyFile(loaderPath, file);
  await run('setcap', [capabilities, file], { env: withSbin });
  const tar = join(work, 'layer.tar');
  const attributes = ['--format=pax', '--xattrs', '--xattrs-include=security.capability'];
  await run('tar', [...attributes, '--owner=0', '--group=0', '-cf', tar, '-C', root, target]);
  const digest = createHash('sha256')
    .update(await readFile(tar))
    .digest('hex');
  await copyFile(tar, join(folder, `${digest}.tar`));
  for (const path of [root, tar]) await rm(path, { recursive: true });
  return digest;
}

async function addLayer(folder: string, digest: string): Promise<void> {
  const read = async (name: string) => JSON.parse(await readFile(join(folder, name), 'utf8'));
  const [manifest] = await read('manifest.json');
  const config = await read(manifest.Config);
  config.rootfs.diff_ids.push(`sha256:${digest}`);
  config.history?.push({ created_by: `COPY ${target}` });
  await writeFile(join(folder, manifest.Config), JSON.stringify(config));
  const changed = { ...manifest, RepoTags: [image], Layers: [...manifest.Layers, `${digest}.tar`] };
  await writeFile(join(folder, 'manifest.json'), JSON.stringify([changed]));
}
