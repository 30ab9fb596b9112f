import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { write } from './chart.ts';
import { repository } from './kustomize.ts';
import { namespaceChart } from './namespace-chart.ts';
import { systemChart } from './system-chart.ts';

/** The digest of the filter: namespaces load only the filter with this digest. */
async function filterDigest(): Promise<string> {
  const filter = await readFile(join(repository, 'build', 'filter.wasm'));
  return createHash('sha256').update(filter).digest('hex');
}

/**
 * Writes both charts to a folder, each in a folder of its name, from a folder of manifests. The
 * version is that of package.json, and the namespace chart pins the filter in `build`.
 */
export async function writeCharts(
  target: string,
  manifests = join(repository, 'manifests'),
): Promise<void> {
  const { version } = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8'));
  const charts = await Promise.all([
    systemChart(manifests),
    namespaceChart(manifests, await filterDigest()),
  ]);
  for (const chart of charts) await write(chart, version, join(target, chart.name));
}
