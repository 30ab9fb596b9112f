import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Mesh } from './mesh.ts';
import { repoDir } from './paths.ts';
import type { Mode } from './product.ts';

/**
 * Installs what a namespace has instead of the filter, with a copy of the kustomization that users
 * copy. Its own field manager leaves the label of the source to others.
 */
export async function installAccessLog(
  mesh: Mesh,
  name: string,
  mode: Mode,
  source = 'access-log',
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'lazyscope-access-log-'));
  const edit = async (file: string, from: string, to: string) => {
    const text = await readFile(join(dir, file), 'utf8');
    if (!text.includes(from)) throw new Error(`${file} has no ${from}`);
    await writeFile(join(dir, file), text.replace(from, to));
  };
  try {
    for (const part of ['namespace-access-log', 'example'])
      await cp(join(repoDir, 'manifests', part), join(dir, part), { recursive: true });
    await edit('example/kustomization.yaml', '../namespace', '../namespace-access-log');
    await edit('example/namespace.yaml', 'my-namespace', name);
    const label = 'lazyscope.io/mode: ';
    const labels = `${label}${mode}\n    lazyscope.io/source: ${source}\n    istio-injection: enabled`;
    await edit('example/namespace.yaml', `${label}observe`, labels);
    const by = ['--server-side', '--force-conflicts', '--field-manager', 'access-log'];
    await mesh.kubectl(['apply', ...by, '-k', join(dir, 'example')]);
  } finally {
    await rm(dir, { recursive: true });
  }
}
