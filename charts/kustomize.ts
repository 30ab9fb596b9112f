import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { run } from '../box/run.ts';
import { nameOf } from './edits.ts';
import type { Mapping } from './emit.ts';

export const repository = fileURLToPath(new URL('..', import.meta.url));

/** The objects that kustomize renders from a folder. */
export async function render(folder: string): Promise<Mapping[]> {
  const text = await run('kubectl', ['kustomize', folder]);
  return parseAllDocuments(text).map((document) => document.toJS() as Mapping);
}

/** Lets `use` change and render a copy of the manifests. */
export async function withCopyOf<T>(
  manifests: string,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-charts-'));
  try {
    await cp(manifests, folder, { recursive: true });
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The object of this kind and name; throws if the manifests do not have it. */
export function find(objects: readonly Mapping[], name: string): Mapping {
  const found = objects.find((each) => nameOf(each) === name);
  if (found === undefined) throw new Error(`the manifests have no ${name}`);
  return found;
}
