import { readFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { boxDir } from '../box/paths.ts';
import { run } from '../box/run.ts';
import { ensureEnvoy } from '../embedded/envoy-binary.ts';
import type { Machine } from './result.ts';

export async function describeMachine(): Promise<Machine> {
  const envoy = await run(await ensureEnvoy(), ['--version']);
  return {
    cpus: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.versions.node,
    envoy: /\/(\d+\.\d+\.\d+)/.exec(envoy)?.[1] ?? envoy.trim(),
    istio: await pinned('istio', 'istio.io/istio'),
    kubernetes: await pinned('kubernetes', 'k8s.io/kubernetes'),
  };
}

/** The version that the test mesh is built from. */
async function pinned(folder: string, module: string): Promise<string> {
  const text = await readFile(join(boxDir, 'artifacts', 'modules', folder, 'go.mod'), 'utf8');
  const version = new RegExp(`^\\s*(?:require )?${module} (v\\S+)`, 'm').exec(text)?.[1];
  if (version === undefined) throw new Error(`modules/${folder}/go.mod requires no ${module}`);
  return version;
}
