import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Chart } from './chart.ts';
import { add, addIf, additions, ifSet, nameOf, replace } from './edits.ts';
import { asText, type Mapping, mapTexts, type Node } from './emit.ts';
import { find, render, withCopyOf } from './kustomize.ts';

/** What kustomize fills from the settings; the chart has a value in the place of each of them. */
type Settings = {
  namespace: string;
  filterSha256: string;
  clusterDomain: string;
  trustDomain: string;
  trustDomainAlias: string;
  serviceCidr: string;
  secondServiceCidr: string;
  plainAddresses: string;
  /** The numbers of bits of the two ranges, which also stand alone. */
  bits: string;
  secondBits: string;
};

/** Names that occur nowhere in the manifests, so that each of their places can be found. */
const marks: Settings = {
  namespace: 'mark-namespace',
  filterSha256: 'mark-filter-sha256',
  clusterDomain: 'mark-cluster-domain',
  trustDomain: 'mark-trust-domain',
  trustDomainAlias: 'mark-alias',
  serviceCidr: 'mark-service-cidr/mark-bits',
  secondServiceCidr: 'mark-second-cidr/mark-second-bits',
  plainAddresses: 'mark-plain-addresses',
  bits: 'mark-bits',
  secondBits: 'mark-second-bits',
};

const templates: Settings = {
  namespace: '{{ .Release.Namespace }}',
  filterSha256: '{{ .Values.filterSha256 }}',
  clusterDomain: '{{ .Values.mesh.clusterDomain }}',
  trustDomain: '{{ .Values.mesh.trustDomain }}',
  trustDomainAlias: '{{ .Values.mesh.trustDomainAlias }}',
  serviceCidr: '{{ .Values.accessLog.serviceCidr }}',
  secondServiceCidr: '{{ .Values.accessLog.secondServiceCidr }}',
  plainAddresses: '{{ join "|" .Values.accessLog.plainAddresses }}',
  bits: '{{ .Values.accessLog.serviceCidr | splitList "/" | last }}',
  secondBits: '{{ .Values.accessLog.secondServiceCidr | splitList "/" | last }}',
};

/** Renders an enabled namespace with marks in the place of its settings. */
async function renderWith(manifests: string, component?: string): Promise<Mapping[]> {
  return withCopyOf(manifests, async (folder) => {
    const edit = async (file: string, change: (text: string) => string) => {
      const path = join(folder, file);
      await writeFile(path, change(await readFile(path, 'utf8')));
    };
    await edit('example/namespace.yaml', (text) => text.replace('my-namespace', marks.namespace));
    for (const source of ['namespace', 'namespace-access-log'])
      await edit(`${source}/settings.env`, (text) =>
        text.replaceAll(/^(\w+)=.*$/gm, (_, name: keyof Settings) => `${name}=${marks[name]}`),
      );
    await edit('components/trust-domain-alias/alias.env', (text) =>
      text.replace(/=.*$/m, `=${marks.trustDomainAlias}`),
    );
    const added = component === undefined ? '' : `  - ../components/${component}\n`;
    await appendFile(join(folder, 'example', 'kustomization.yaml'), added);
    const objects = await render(join(folder, 'example'));
    return objects.filter(({ kind }) => kind !== 'Namespace');
  });
}

/**
 * The chart `lazyscope-namespace`: manifests/namespace, manifests/namespace-access-log and the
 * components beside them.
 */
export async function namespaceChart(manifests: string, filterSha256: string): Promise<Chart> {
  const [plain, onRestart, alias, allocator, accessLog] = await Promise.all(
    [undefined, 'on-restart', 'trust-domain-alias', 'allocator', '../namespace-access-log'].map(
      (component) => renderWith(manifests, component),
    ),
  );
  const objects = structuredClone(plain ?? []);
  for (const [condition, variant = []] of [
    ['if .Values.onRestart.enabled', onRestart],
    ['if .Values.mesh.trustDomainAlias', alias],
  ] as const)
    for (const object of plain ?? [])
      addIf(
        find(objects, nameOf(object)),
        condition,
        additions(object, find(variant, nameOf(object))),
      );
  const names = new Set(objects.map(nameOf));
  const beside = (variant: Mapping[] = []) =>
    variant.filter((object) => !names.has(nameOf(object)));
  for (const name of ['lazyscope', 'lazyscope-tcp'])
    editPlugin(find(objects, `WasmPlugin ${name}`));
  return {
    name: 'lazyscope-namespace',
    defaults: { filterSha256, ...pluginDefaults(plain ?? []) },
    templates: [
      ...given(objects, '.Values.filter.enabled'),
      ...given(beside(allocator), '.Values.allocator.enabled'),
      ...given(beside(accessLog), '.Values.accessLog.enabled'),
    ],
  };
}

const given = (objects: Mapping[], condition: string) =>
  objects.map((object) => ({ object: filled(object), condition }));

const configurable = ['fallback', 'flushSeconds', 'holdSeconds'];

function pluginDefaults(objects: Mapping[]): Record<string, Node> {
  const { pluginConfig } = find(objects, 'WasmPlugin lazyscope').spec as { pluginConfig: Mapping };
  return Object.fromEntries(
    configurable.map((key) => [`filter.${key}`, pluginConfig[key] ?? null]),
  );
}

function editPlugin(plugin: Mapping): void {
  const config = ['spec', 'pluginConfig'];
  const known = (plugin.spec as { pluginConfig: Mapping }).pluginConfig;
  for (const key of configurable.filter((each) => each in known))
    replace(plugin, [...config, key], asText(`{{ toJson .Values.filter.${key} }}`));
  add(plugin, [...config, 'directCidrs'], ifSet('filter.directCidrs'));
}

/** Replaces each mark by the value of the chart. */
const filled = (object: Mapping) => mapTexts(object, filledText) as Mapping;

function filledText(text: string): Node {
  const names = (Object.keys(marks) as (keyof Settings)[]).filter((name) =>
    text.includes(marks[name]),
  );
  if (names.length === 0) return text;
  const template = names.reduce(
    (done, name) => done.replaceAll(marks[name], templates[name]),
    JSON.stringify(text),
  );
  return asText(template);
}
