import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { boxDir } from '../paths.ts';
import { run } from '../run.ts';
import { cached, type Progress } from './build-cache.ts';

const moduleName = 'sigs.k8s.io/gateway-api';
const fileName = 'gateway-api.yaml';

/** Path of the definitions of the Gateway API, in the version that Istio is built with. */
export async function ensureGatewayApi(progress: Progress): Promise<string> {
  const cwd = join(boxDir, 'artifacts', 'modules', 'istio');
  const pins = [await readFile(join(cwd, 'go.sum')), moduleName];
  const dir = await cached('gateway-api', pins, progress, async (out) => {
    const answer = await run('go', ['mod', 'download', '-json', moduleName], { cwd });
    const folder = join((JSON.parse(answer) as { Dir: string }).Dir, 'config', 'crd', 'standard');
    // The other files of the folder guard upgrades, which do not happen here.
    const names = (await readdir(folder)).filter((name) => name.startsWith('gateway.networking.'));
    const definitions = names.filter((name) => !name.includes('_vap_')).sort();
    const texts = await Promise.all(
      definitions.map((name) => readFile(join(folder, name), 'utf8')),
    );
    await writeFile(join(out, fileName), texts.join('\n---\n'));
  });
  return join(dir, fileName);
}
