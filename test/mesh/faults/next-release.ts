import { copyFile, cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Release } from '../../../box/artifacts/companion-image.ts';
import { repoDir } from '../../../box/paths.ts';

/** What the image is built from, by the Dockerfile and `npm run build`. */
const sources = [
  ...['package.json', 'package-lock.json', '.npmrc', 'tsconfig.json', 'asconfig.json'],
  ...['Dockerfile', '.dockerignore', 'LICENSE', 'wasm-filter', 'companion'],
];

/** What says of a release which one it is: a filter of the next one may also add to its reports. */
const edits: [file: string, from: string, to: string][] = [
  ['companion/frame/version.ts', "'0.1.0'", "'0.1.1'"],
  ['wasm-filter/version.ts', '(1 << 8) | 0', '(1 << 8) | 1'],
  ['wasm-filter/report.ts', 'LAYOUT: u16 = 1', 'LAYOUT: u16 = 2'],
];

/** The sources of this release in a folder of their own, made to say that they are the next one. */
export async function makeNextRelease(dir: string): Promise<Release> {
  await mkdir(dir, { recursive: true });
  for (const name of sources) await cp(join(repoDir, name), join(dir, name), { recursive: true });
  await symlink(join(repoDir, 'node_modules'), join(dir, 'node_modules'));
  for (const [file, from, to] of edits) {
    const text = await readFile(join(dir, file), 'utf8');
    if (!text.includes(from)) throw new Error(`${file}: ${from} is not there; mend the edit`);
    await writeFile(join(dir, file), text.replace(from, to));
  }
  // As the release workflow does.
  await copyFile(
    join(repoDir, 'build', 'filter.wasm'),
    join(dir, 'wasm-filter', 'previous', 'filter.wasm'),
  );
  return { dir, version: '0.1.1' };
}
