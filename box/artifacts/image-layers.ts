import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, copyFile, mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { run } from '../run.ts';
import { cached, hashOf, type Progress } from './build-cache.ts';

/** One file of a layer: where it comes from (or what it holds), and who owns it. */
export type LayerFile = {
  path: string;
  from?: string;
  content?: string;
  linkTo?: string;
  directory?: true;
  mode?: number;
  uid?: number;
};

/** An uncompressed layer tar and its digest (`sha256:...`), which is also its diff id. */
export type Layer = { file: string; digest: string; size: number };

/** The base of every image: iptables and iproute2 for istio-init, curl for the admin helpers. */
const basePackages = ['iptables', 'iproute2', 'ca-certificates', 'curl', 'libstdc++6'];
const baseSuite = 'bookworm';

/** With a fixed date, equal files give equal layers. */
const fixedDate = '@0';

export async function baseLayer(progress: Progress): Promise<Layer> {
  const pins = [baseSuite, ...basePackages];
  const dir = await cached('base-layer', pins, progress, async (out) => {
    const include = `--include=${basePackages.join(',')}`;
    const tar = join(out, 'layer.tar');
    await run('mmdebstrap', ['--variant=minbase', include, baseSuite, tar], {
      env: { ...process.env, SOURCE_DATE_EPOCH: '0' },
    });
    await writeFile(join(out, 'digest'), await sha256(tar));
  });
  return readLayer(dir);
}

/** A layer of the given files, kept in the cache by the hash of their contents and names. */
export async function fileLayer(
  name: string,
  files: LayerFile[],
  progress: Progress,
): Promise<Layer> {
  const pins: string[] = [];
  for (const file of files) {
    pins.push(JSON.stringify({ ...file, from: undefined }));
    if (file.from !== undefined) pins.push(await sha256(file.from));
  }
  const dir = await cached(`layer-${name}`, [hashOf(pins)], progress, async (out) => {
    const root = join(out, 'root');
    for (const file of files) await addToLayer(root, file);
    const tar = join(out, 'layer.tar');
    const owners = files.filter((file) => file.uid !== undefined);
    // Two passes: files that belong to a user other than root are appended with their owner.
    const own = ['--sort=name', `--mtime=${fixedDate}`, '--numeric-owner', '-C', root];
    const rest = owners.map((file) => `--exclude=.${file.path}`);
    await run('tar', ['-cf', tar, ...own, '--owner=0', '--group=0', ...rest, '.']);
    for (const file of owners) {
      const owner = [`--owner=${file.uid}`, `--group=${file.uid}`];
      await run('tar', ['-rf', tar, ...own, ...owner, `.${file.path}`]);
    }
    await rm(root, { recursive: true });
    await writeFile(join(out, 'digest'), await sha256(tar));
  });
  return readLayer(dir);
}

async function addToLayer(root: string, file: LayerFile): Promise<void> {
  const target = join(root, file.path);
  await mkdir(file.directory ? target : dirname(target), { recursive: true });
  if (file.directory) return;
  if (file.linkTo !== undefined) return symlink(file.linkTo, target);
  if (file.from !== undefined) await copyFile(file.from, target);
  else await writeFile(target, file.content ?? '');
  await chmod(target, file.mode ?? 0o755);
}

async function readLayer(dir: string): Promise<Layer> {
  const file = join(dir, 'layer.tar');
  const digest = `sha256:${await readFile(join(dir, 'digest'), 'utf8')}`;
  return { file, digest, size: (await stat(file)).size };
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
