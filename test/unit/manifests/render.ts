import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';

export const repository = fileURLToPath(new URL('../../..', import.meta.url));
export const manifests = join(repository, 'manifests');
const renderer = 'kubectl';

// biome-ignore lint/suspicious/noExplicitAny: manifests are looked into as they are.
export type Manifest = Record<string, any>;

/** The objects that `kubectl apply -k FOLDER` would send. */
export function render(folder: string): Manifest[] {
  return parse(kubectlKustomize(folder));
}

function kubectlKustomize(folder: string): string {
  try {
    return execFileSync(renderer, ['kustomize', folder], { encoding: 'utf8' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const remedy = 'install kubectl 1.27 or later; no cluster is needed';
    throw new Error(
      `${renderer} is not in the PATH, and the manifests are rendered by it: ${remedy}`,
    );
  }
}

export function parse(text: string): Manifest[] {
  return parseAllDocuments(text, { uniqueKeys: true }).map((document) => {
    const problem = document.errors[0] ?? document.warnings[0];
    if (problem) throw problem;
    return document.toJS() as Manifest;
  });
}

/** Every file below a folder whose name has the given ending, with its text. */
export function filesBelow(folder: string, ending: string): { name: string; text: string }[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8') }));
}

export function find(objects: Manifest[], kind: string, name: string): Manifest {
  const found = objects.find((each) => each.kind === kind && each.metadata.name === name);
  if (!found) throw new Error(`${kind} ${name} is not among the rendered objects`);
  return found;
}

/** Every value of this key, at any depth of a value. */
export function valuesOf(value: unknown, key: string): unknown[] {
  if (typeof value !== 'object' || value === null) return [];
  const below = Object.values(value).flatMap((each) => valuesOf(each, key));
  return key in value ? [(value as Manifest)[key], ...below] : below;
}
