import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureHelm } from '../../box/artifacts/binaries.ts';
import { run, runResult } from '../../box/run.ts';
import { writeCharts } from '../../charts/generate.ts';
import { type Manifest, parse } from '../unit/manifests/render.ts';

export type Values = Record<string, unknown>;

/** Labels that only Helm sets. */
const helmLabels = ['helm.sh/chart', 'app.kubernetes.io/instance', 'app.kubernetes.io/managed-by'];

/** The charts in a folder of their own, and the Helm that the box compiles. */
export async function openCharts() {
  const folder = await mkdtemp(join(tmpdir(), 'lazyscope-charts-test-'));
  await writeCharts(folder);
  const helm = await ensureHelm(console.error);

  const templateArgs = async (chart: string, namespace: string, values: Values) => {
    const file = join(folder, `values-${chart}.json`);
    await writeFile(file, JSON.stringify(values));
    const version = ['--kube-version', '1.35.4'];
    return ['template', 'any', join(folder, chart), '-n', namespace, '-f', file, ...version];
  };

  return {
    folder,
    helm: (args: string[], env: NodeJS.ProcessEnv = process.env) => run(helm, args, { env }),
    /**
     * Helm 4, for what Helm 3 does not do: notes without a cluster, packages with equal bytes. The
     * release workflow packages with Helm 4.
     */
    helm4: async (args: string[], env: NodeJS.ProcessEnv = process.env) =>
      run(await ensureHelm(console.error, '4'), args, { env }),
    /** The objects of a chart without what only Helm adds, sorted. */
    async template(chart: string, namespace: string, values: Values): Promise<Manifest[]> {
      const text = await run(helm, await templateArgs(chart, namespace, values));
      return sorted(parse(text).map(withoutHelm));
    },
    /** What Helm says against the values. */
    async refusal(chart: string, namespace: string, values: Values): Promise<string> {
      const { code, stderr } = await runResult(helm, await templateArgs(chart, namespace, values));
      return code === 0 ? '' : stderr;
    },
    close: () => rm(folder, { recursive: true }),
  };
}

export type Charts = Awaited<ReturnType<typeof openCharts>>;

const keyOf = ({ kind, metadata }: Manifest) => `${kind} ${metadata.namespace} ${metadata.name}`;

export const sorted = (objects: Manifest[]) =>
  objects.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));

function withoutHelm(object: Manifest): Manifest {
  for (const label of helmLabels) {
    if (!(label in object.metadata.labels)) throw new Error(`${keyOf(object)} has no ${label}`);
    delete object.metadata.labels[label];
  }
  if (Object.keys(object.metadata.labels).length === 0) delete object.metadata.labels;
  const { annotations } = object.metadata;
  if (annotations) delete annotations['helm.sh/resource-policy'];
  return object;
}
