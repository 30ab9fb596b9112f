import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { boxDir } from '../paths.ts';
import { run } from '../run.ts';
import { cached, type Progress } from './build-cache.ts';

/** Path of the definitions of the Gateway API, in the version that Istio is built with. */
export const ensureGatewayApi = (progress: Progress) =>
  ensureDefinitions(
    {
      ...{ name: 'gateway-api', moduleName: 'sigs.k8s.io/gateway-api' },
      folder: ['config', 'crd', 'standard'],
      // The other files of the folder guard upgrades, which do not happen here.
      isWanted: (file) => file.startsWith('gateway.networking.') && !file.includes('_vap_'),
    },
    progress,
  );

/** Path of the definitions of the Multi-Cluster Services API, in the version of Istio. */
export const ensureMcsApi = (progress: Progress) =>
  ensureDefinitions(
    {
      ...{ name: 'mcs-api', moduleName: 'sigs.k8s.io/mcs-api' },
      folder: ['config', 'crd'],
      isWanted: (file) => file.endsWith('.yaml'),
    },
    progress,
  );

/** Path of the definitions of Node Feature Discovery. */
export const ensureNfd = (progress: Progress) =>
  ensureDefinitions(
    {
      ...{ name: 'nfd', from: 'nfd', moduleName: 'sigs.k8s.io/node-feature-discovery' },
      folder: ['deployment', 'base', 'nfd-crds'],
      isWanted: (file) => file === 'nfd-api-crds.yaml',
    },
    progress,
  );

type Source = {
  name: string;
  /** The folder in `modules` that pins the module; default: that of Istio. */
  from?: string;
  moduleName: string;
  folder: string[];
  isWanted(file: string): boolean;
};

/** The definitions of a Go module in one file. */
async function ensureDefinitions(
  { name, from: pinned = 'istio', moduleName, folder, isWanted }: Source,
  progress: Progress,
): Promise<string> {
  const cwd = join(boxDir, 'artifacts', 'modules', pinned);
  const fileName = `${name}.yaml`;
  const pins = [await readFile(join(cwd, 'go.sum')), moduleName];
  const dir = await cached(name, pins, progress, async (out) => {
    const answer = await run('go', ['mod', 'download', '-json', moduleName], { cwd });
    const from = join((JSON.parse(answer) as { Dir: string }).Dir, ...folder);
    const files = (await readdir(from)).filter(isWanted).sort();
    const texts = await Promise.all(files.map((file) => readFile(join(from, file), 'utf8')));
    await writeFile(join(out, fileName), texts.join('\n---\n'));
  });
  return join(dir, fileName);
}
