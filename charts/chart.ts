import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nameOf } from './edits.ts';
import { asText, emit, type Mapping, type Node } from './emit.ts';
import { repository } from './kustomize.ts';

/** An object of a chart, and the condition under which the chart has it. */
export type Templated = { object: Mapping; condition?: string };

/** Values of `values.yaml` that the manifests decide, by the path in the values. */
export type Defaults = Record<string, Node>;

export type Chart = { name: string; templates: Templated[]; defaults: Defaults };

/**
 * Adds the labels that Helm recommends. They are labels of the object only: a label of a pod
 * template would restart all pods at each upgrade.
 */
function addLabels(object: Mapping): void {
  const metadata = object.metadata as Mapping;
  const labels = (metadata.labels ?? {}) as Mapping;
  metadata.labels = {
    ...labels,
    'helm.sh/chart': asText('{{ include "lazyscope.chart" . }}'),
    'app.kubernetes.io/instance': asText('{{ .Release.Name | quote }}'),
    'app.kubernetes.io/managed-by': asText('{{ .Release.Service | quote }}'),
  };
}

const fileName = (object: Mapping) =>
  `${nameOf(object)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')}.yaml`;

function textOf({ object, condition }: Templated): string {
  addLabels(object);
  const text = emit(object);
  return condition === undefined ? text : `{{- if ${condition} }}\n${text}{{- end }}\n`;
}

/** Fills `$PATH` in values.yaml; throws if a default has no place there, or a place no default. */
function fill(values: string, defaults: Defaults): string {
  const unused = new Set(Object.keys(defaults));
  const filled = values.replaceAll(/\$([a-zA-Z.0-9]+)/g, (_, path: string) => {
    const value = defaults[path];
    if (value === undefined) throw new Error(`values.yaml: the manifests decide no $${path}`);
    unused.delete(path);
    return JSON.stringify(value);
  });
  if (unused.size > 0) throw new Error(`values.yaml has no place for ${[...unused].join(', ')}`);
  return filled;
}

/** Writes the chart to `target`: the files of `charts/NAME`, and the generated templates. */
export async function write(chart: Chart, version: string, target: string): Promise<void> {
  const source = join(repository, 'charts', chart.name);
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  await cp(source, target, { recursive: true });
  await cp(join(repository, 'LICENSE'), join(target, 'LICENSE'));
  for (const templated of chart.templates)
    await writeFile(join(target, 'templates', fileName(templated.object)), textOf(templated));
  const values = join(target, 'values.yaml');
  await writeFile(values, fill(await readFile(values, 'utf8'), chart.defaults));
  const about = join(target, 'Chart.yaml');
  await writeFile(about, (await readFile(about, 'utf8')).replaceAll('$VERSION', version));
}
