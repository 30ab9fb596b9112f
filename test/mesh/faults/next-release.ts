import { copyFile, cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Release } from '../../../box/artifacts/companion-image.ts';
import { repoDir } from '../../../box/paths.ts';

/** The files that the Dockerfile and `npm run build` build the image from. */
const sources = [
  ...['package.json', 'package-lock.json', '.npmrc', 'tsconfig.json', 'asconfig.json'],
  ...['Dockerfile', '.dockerignore', 'LICENSE', 'wasm-filter', 'companion'],
];

/**
 * The edits that turn this release into the next one. The next filter may also extend its reports.
 */
const edits: [file: string, from: string, to: string][] = [
  ['companion/frame/version.ts', "'0.1.0'", "'0.1.1'"],
  ['wasm-filter/version.ts', '(1 << 8) | 0', '(1 << 8) | 1'],
  ['wasm-filter/report.ts', 'LAYOUT: u16 = 1', 'LAYOUT: u16 = 2'],
];

/** Copies the sources of this release to `dir` and edits the copy to be the next release. */
export async function makeNextRelease(dir: string): Promise<Release> {
  await mkdir(dir, { recursive: true });
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
  return { dir, version: '0.1.1' };
}
