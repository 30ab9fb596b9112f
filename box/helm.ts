import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeCharts } from '../charts/generate.ts';
import { ensureHelm } from './artifacts/binaries.ts';
import type { Mesh } from './mesh.ts';
import { kubeconfigPath } from './paths.ts';
import { run } from './run.ts';

/** The charts of this checkout, and a Helm that reaches the mesh. */
export async function openHelm(mesh: Mesh) {
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-helm-'));
  const charts = join(folder, 'charts');
  await writeCharts(charts);
  const helm = await ensureHelm(console.error);
  const environment = [
    `KUBECONFIG=${kubeconfigPath}`,
    // Helm keeps its files here instead of the home folder.
    ...['CACHE', 'CONFIG', 'DATA'].map((name) => `HELM_${name}_HOME=${join(folder, 'helm')}`),
  ];
  const argv = mesh.inNetwork(['env', ...environment, helm]);
  return {
    charts,
    /** A command line that runs Helm; its arguments follow. */
    argv,
    /**
     * Installs or upgrades a release and returns when its pods are ready. Objects that kustomize
     * installed become objects of the release.
     */
    async upgrade(
      release: string,
      { chart, namespace, values }: { chart: string; namespace: string; values: object },
    ): Promise<void> {
      const file = join(folder, `${release}.json`);
      await writeFile(file, JSON.stringify(values));
      const takeOver = ['--take-ownership', '--force-conflicts'];
      const [command = '', ...words] = argv;
      await run(command, [
        ...[...words, 'upgrade', '--install', release, join(charts, chart), '-n', namespace],
        ...['-f', file, '--wait', ...takeOver],
      ]);
    },
    close: () => rm(folder, { recursive: true }),
  };
}

export type Helm = Awaited<ReturnType<typeof openHelm>>;
