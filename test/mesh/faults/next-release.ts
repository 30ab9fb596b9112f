import { copyFile, cp, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, hashOfTree, type Progress } from '../../../box/artifacts/build-cache.ts';
import { companionArchive, type Release } from '../../../box/artifacts/companion-image.ts';
import { ensureBuild } from '../../../box/artifacts/product-build.ts';
import { repoDir } from '../../../box/paths.ts';

/** The files that the Dockerfile and `npm run build` build the image from. */
const sources = [
  ...['package.json', 'package-lock.json', '.npmrc', 'tsconfig.json', 'asconfig.json'],
  ...['Dockerfile', '.dockerignore', 'LICENSE', 'wasm-filter', 'companion', 'console'],
];

/**
 * The edits that turn this release into the next one. The next filter may also extend its reports.
 */
const edits: [file: string, from: string, to: string][] = [
  ['companion/frame/version.ts', "'0.1.0'", "'0.1.1'"],
  ['wasm-filter/version.ts', '(1 << 8) | 0', '(1 << 8) | 1'],
  ['wasm-filter/report.ts', 'LAYOUT: u16 = 1', 'LAYOUT: u16 = 2'],
];

/**
 * The next release and the archive of its image. Both are kept in the cache, so the set-up of the
 * group builds them while other tests run.
 */
export async function nextRelease(
  progress: Progress,
): Promise<{ release: Release; archive: string }> {
  const inputs = [...sources, 'build/filter.wasm'].map((name) => hashOfTree(join(repoDir, name)));
  const pins = [JSON.stringify(edits), ...(await Promise.all(inputs))];
  const dir = await cached('next-release', pins, progress, async (draft) => {
    await makeNextRelease(draft);
    await ensureBuild(draft);
  });
  const release = { dir, version: '0.1.1' };
  return { release, archive: await companionArchive(progress, release) };
}

/** Copies the sources of this release to `dir` and edits the copy to be the next release. */
async function makeNextRelease(dir: string): Promise<void> {
  for (const name of sources) await cp(join(repoDir, name), join(dir, name), { recursive: true });
  await symlink(join(repoDir, 'node_modules'), join(dir, 'node_modules'));
  for (const [file, from, to] of edits) {
    const text = await readFile(join(dir, file), 'utf8');
    if (!text.includes(from)) throw new Error(`${file}: ${from} is not there; mend the edit`);
    await writeFile(join(dir, file), text.replace(from, to));
  }
  // The release workflow also copies the filter to this place.
  await copyFile(
    join(repoDir, 'build', 'filter.wasm'),
    join(dir, 'wasm-filter', 'previous', 'filter.wasm'),
  );
}
