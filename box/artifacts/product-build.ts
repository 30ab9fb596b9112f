import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../run.ts';
import { hashOf, hashOfTree } from './build-cache.ts';

/** The input of `npm run build`. */
const sources = [
  'companion',
  'console',
  'wasm-filter',
  'asconfig.json',
  'tsconfig.json',
  'package-lock.json',
];
/** The output of `npm run build`. */
const outputs = ['build/companion', 'build/filter.wasm'];
const stampFile = 'build/.stamp';

const hashOfAll = async (dir: string, paths: string[]) =>
  hashOf(await Promise.all(paths.map((path) => hashOfTree(join(dir, path)))));

/**
 * Runs `npm run build` in a folder of sources, unless its output belongs to these sources: the
 * stamp holds the hashes of both, so any other build invalidates it.
 */
export async function ensureBuild(dir: string): Promise<void> {
  const of = await hashOfAll(dir, sources);
  const stamp = async () => `${of} ${await hashOfAll(dir, outputs)}\n`;
  const valid = async () => (await readFile(join(dir, stampFile), 'utf8')) === (await stamp());
  if (await valid().catch(() => false)) return;
  await run('npm', ['run', '-s', 'build'], { cwd: dir });
  await writeFile(join(dir, stampFile), await stamp());
}
