import { join } from 'node:path';
import type { Chart, Defaults, Templated } from './chart.ts';
import { add, append, ifSet, replace } from './edits.ts';
import { asLines, asText, type Mapping, only } from './emit.ts';
import { find, render } from './kustomize.ts';

const pod = ['spec', 'template', 'spec'] as const;
const container = [...pod, 'containers', 0] as const;

/** The chart `lazyscope`: manifests/base, and the components that are installed once a cluster. */
export async function systemChart(manifests: string): Promise<Chart> {
  const base = await render(join(manifests, 'base'));
  const bypass = await render(join(manifests, 'components', 'bypass'));
  const monitoring = await render(join(manifests, 'components', 'monitoring'));
  const defaults: Defaults = {};
  editController(base, defaults);
  editNode(base, defaults);
  editGateway(base, defaults);
  editBypass(bypass, defaults);
  for (const name of [
    'CustomResourceDefinition workloadscopes.lazyscope.io',
    'Namespace lazyscope-system',
  ])
    add(find(base, name), ['metadata', 'annotations', 'helm.sh/resource-policy'], 'keep');
  return {
    name: 'lazyscope',
    defaults,
    templates: [
      ...base.map((object) => templated(object)),
      ...bypass.map((object) => ({ object, condition: '.Values.bypass.enabled' })),
      ...monitoring.map((object) => ({ object, condition: '.Values.monitoring.enabled' })),
    ],
  };
}

/** The objects that a user may want to create in another way. */
const conditions: Record<string, string> = {
  Namespace: '.Values.namespace.create',
  CustomResourceDefinition: '.Values.crds.install',
};

function templated(object: Mapping): Templated {
  const condition = conditions[String(object.kind)];
  return condition === undefined ? { object } : { object, condition };
}

/** An item of `env` for each entry of a mapping of the values. */
const settings = (values: string) =>
  asLines([
    `{{- range $name, $value := .Values.${values} }}`,
    // Helm reads numbers as floats, and toString would write a large one with an exponent.
    '- {{ dict "name" $name "value" (kindIs "string" $value | ternary $value (toJson $value)) | toJson }}',
    '{{- end }}',
  ]);

/** A variable that the manifests leave to its default. */
const variable = (condition: string, name: string, value: string) =>
  only(condition, { name, value: asText(`{{ ${value} | quote }}`) });

function editController(objects: Mapping[], defaults: Defaults): void {
  const controller = find(objects, 'Deployment lazyscope-controller');
  editImage(controller, 'image', defaults);
  editScheduling(controller, 'controller', defaults);
  defaults['controller.replicas'] = replace(
    controller,
    ['spec', 'replicas'],
    asText('{{ .Values.controller.replicas }}'),
  );
  const env = [...container, 'env'];
  const { domain, trust, root } = {
    domain: 'if ne .Values.mesh.clusterDomain "cluster.local"',
    trust: 'if ne .Values.mesh.trustDomain "cluster.local"',
    root: 'if ne .Values.mesh.rootNamespace "istio-system"',
  };
  const gatewayHost =
    'printf "lazyscope-egress.lazyscope-system.svc.%s" .Values.mesh.clusterDomain';
  for (const each of [
    variable(domain, 'LAZYSCOPE_CLUSTER_DOMAIN', '.Values.mesh.clusterDomain'),
    variable(domain, 'LAZYSCOPE_GATEWAY_HOST', gatewayHost),
    variable(trust, 'LAZYSCOPE_TRUST_DOMAIN', '.Values.mesh.trustDomain'),
    variable(root, 'LAZYSCOPE_ROOT_NAMESPACE', '.Values.mesh.rootNamespace'),
    variable('with .Values.mesh.revisions', 'LAZYSCOPE_REVISIONS', 'join "," .'),
    settings('controller.env'),
  ])
    append(controller, env, each);
  const { rules } = find(objects, 'ClusterRole lazyscope-controller') as { rules: Mapping[] };
  const named = rules.filter(({ resourceNames }) => JSON.stringify(resourceNames) === '["istio"]');
  const [rule] = named;
  if (!rule || named.length > 1) throw new Error('not exactly one rule names the ConfigMap istio');
  rule.resourceNames = [
    'istio',
    asLines([
      '{{- range .Values.mesh.revisions }}',
      '- {{ printf "istio-%s" . | quote }}',
      '{{- end }}',
    ]),
  ];
}

function editNode(objects: Mapping[], defaults: Defaults): void {
  const node = find(objects, 'DaemonSet lazyscope-node');
  editImage(node, 'image', defaults);
  editScheduling(node, 'node', defaults);
  append(node, [...container, 'env'], settings('node.env'));
}

function editGateway(objects: Mapping[], defaults: Defaults): void {
  const gateway = find(objects, 'Deployment lazyscope-egress');
  editScheduling(gateway, 'gateway', defaults);
  defaults['gateway.replicas'] = replace(
    gateway,
    ['spec', 'replicas'],
    asText('{{ .Values.gateway.replicas }}'),
  );
  const labels = ['spec', 'template', 'metadata', 'labels'];
  const inject = [...labels, 'sidecar.istio.io/inject'];
  const injected = replace(gateway, inject, '');
  replace(gateway, inject, only('if not .Values.gateway.revision', injected));
  add(gateway, [...labels, 'istio.io/rev'], ifSet('gateway.revision'));
}

function editBypass(objects: Mapping[], defaults: Defaults): void {
  const agent = find(objects, 'DaemonSet lazyscope-bypass');
  editImage(agent, 'bypass.image', defaults);
  editScheduling(agent, 'bypass', defaults);
}

/** Resources and the places where pods may run; further values only if they are set. */
function editScheduling(workload: Mapping, values: string, defaults: Defaults): void {
  const spec = (workload.spec as { template: { spec: Mapping } }).template.spec;
  const resources = [...container, 'resources'];
  defaults[`${values}.resources`] = replace(
    workload,
    resources,
    asText(`{{ toJson .Values.${values}.resources }}`),
  );
  for (const key of ['nodeSelector', 'tolerations', 'affinity']) {
    const known = spec[key];
    if (known === undefined) add(workload, [...pod, key], ifSet(`${values}.${key}`));
    else replace(workload, [...pod, key], ifSet(`${values}.${key}`));
    defaults[`${values}.${key}`] = known ?? (key === 'tolerations' ? [] : {});
  }
  add(workload, [...pod, 'imagePullSecrets'], ifSet('imagePullSecrets'));
}

/** The parts of an image; a digest takes the place of the tag. */
function partsOf(image: string): { repository: string; tag: string; digest: string } {
  const parts = /^([^@]+?)(?::([^:/@]+))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(image);
  if (!parts) throw new Error(`'${image}' is no image with a tag or a digest`);
  const [, repository = '', tag = '', digest = ''] = parts;
  return { repository, tag, digest };
}

function editImage(workload: Mapping, values: string, defaults: Defaults): void {
  const image = asText(`{{ include "lazyscope.image" .Values.${values} | quote }}`);
  const before = String(replace(workload, [...container, 'image'], image));
  for (const [part, value] of Object.entries(partsOf(before)))
    defaults[`${values}.${part}`] = value;
  add(workload, [...container, 'imagePullPolicy'], ifSet(`${values}.pullPolicy`));
}
