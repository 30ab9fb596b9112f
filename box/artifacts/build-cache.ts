import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDir } from '../paths.ts';

export type Progress = (line: string) => void;

/** Interval of progress lines of a long build. */
const progressIntervalMs = 10_000;

export function hashOf(parts: (string | Buffer)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex').slice(0, 16);
}

/** Hash of a file, or of the names and contents of all files below a folder. */
export async function hashOfTree(dir: string): Promise<string> {
  if ((await stat(dir)).isFile()) return hashOf([await readFile(dir)]);
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((e) => join(e.parentPath, e.name));
  const parts: (string | Buffer)[] = [];
  for (const file of files.sort()) parts.push(file.slice(dir.length), await readFile(file));
  return hashOf(parts);
}

/**
 * Returns the folder `NAME-HASH` of the cache, and builds it first if it is missing. `pins` holds
 * everything that the result depends on. The folder appears complete or not at all, so a broken
 * build leaves nothing behind, and two concurrent builders do no harm.
 */
export async function cached(
  name: string,
  pins: (string | Buffer)[],
  progress: Progress,
  build: (dir: string) => Promise<void>,
): Promise<string> {
  const target = join(cacheDir, `${name}-${hashOf(pins)}`);
  if (existsSync(target)) {
    await utimes(target, new Date(), new Date());
    return target;
  }
  await mkdir(cacheDir, { recursive: true });
  const draft = await mkdtemp(join(cacheDir, `.${name}-`));
  const started = Date.now();
  const seconds = () => Math.round((Date.now() - started) / 1000);
  progress(`building ${name} (once; kept in the cache)`);
  const timer = setInterval(
    () => progress(`building ${name}: ${seconds()} s so far`),
    progressIntervalMs,
  );
  try {
    await build(draft);
    await rename(draft, target).catch((error: NodeJS.ErrnoException) => {
      // Another process was faster, and its result is equal.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } catch (error) {
    throw new Error(`could not build ${name}: ${(error as Error).message}`);
  } finally {
    clearInterval(timer);
    await rm(draft, { recursive: true, force: true });
  }
  progress(`built ${name} in ${seconds()} s`);
  await removeOldest(name);
  return target;
}

/** Builds kept per name: enough for a few branches, without filling the disk with images. */
const keptMax = 4;

async function removeOldest(name: string): Promise<void> {
  const isBuild = new RegExp(`^${name}-[0-9a-f]{16}$`);
  const dirs = (await readdir(cacheDir)).filter((entry) => isBuild.test(entry));
  const used = await Promise.all(
    dirs.map(async (dir) => ({ dir, at: (await stat(join(cacheDir, dir))).mtimeMs })),
  );
  for (const { dir } of used.sort((a, b) => b.at - a.at).slice(keptMax))
    await rm(join(cacheDir, dir), { recursive: true, force: true });
}
