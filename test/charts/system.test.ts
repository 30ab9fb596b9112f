import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { copyOfManifests } from '../unit/manifests/copy.ts';
import { type Manifest, render } from '../unit/manifests/render.ts';
import { type Charts, openCharts, sorted, type Values } from './helm.ts';

let charts: Charts;

beforeAll(async () => {
  charts = await openCharts();
});
afterAll(() => charts.close());

const system = 'lazyscope-system';
const digest = `sha256:${'ab'.repeat(32)}`;

type Patch = { target: object; patch: string };
/** What a user of kustomize writes for the same wish. */
type Overlay = { patches?: Patch[]; images?: object[]; resources?: string[] };

const workload = (name: string, patch: object): Patch => ({
  target: { kind: 'Deployment|DaemonSet', name: `^${name}$` },
  patch: stringify({ apiVersion: 'any/v1', kind: 'Any', metadata: { name: 'any' }, ...patch }),
});
const pod = (name: string, spec: object) => workload(name, { spec: { template: { spec } } });
const env = (name: string, variables: Record<string, string>): Patch => ({
  target: { kind: 'Deployment|DaemonSet', name: `^${name}$` },
  patch: stringify(
    Object.entries(variables).map(([key, value]) => ({
      op: 'add',
      path: '/spec/template/spec/containers/0/env/-',
      value: { name: key, value },
    })),
  ),
});
const operations = (kind: string, name: string, list: object[]): Patch => ({
  target: { kind, name: `^${name}$` },
  patch: stringify(list),
});

const components = { bypass: '../components/bypass', monitoring: '../components/monitoring' };

const placed = {
  nodeSelector: { disk: 'fast' },
  tolerations: [{ key: 'dedicated', operator: 'Exists' }],
  affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [] } },
};
const resources = { requests: { cpu: '1', memory: '1Gi' } };

/** Both tools merge mappings with those of the manifests, and replace lists. */
const placedBy = (name: string, container: string): Patch =>
  pod(name, { ...placed, containers: [{ name: container, resources }] });

const wishes: [string, Values, Overlay][] = [
  ['nothing', {}, {}],
  [
    'other domains and another root namespace',
    { mesh: { clusterDomain: 'corp.example', trustDomain: 'td', rootNamespace: 'root' } },
    {
      patches: [
        env('lazyscope-controller', {
          LAZYSCOPE_CLUSTER_DOMAIN: 'corp.example',
          LAZYSCOPE_GATEWAY_HOST: 'lazyscope-egress.lazyscope-system.svc.corp.example',
          LAZYSCOPE_TRUST_DOMAIN: 'td',
          LAZYSCOPE_ROOT_NAMESPACE: 'root',
        }),
      ],
    },
  ],
  [
    'revisions',
    { mesh: { revisions: ['1-30', '1-31'] }, gateway: { revision: '1-31' } },
    {
      patches: [
        env('lazyscope-controller', { LAZYSCOPE_REVISIONS: '1-30,1-31' }),
        operations('ClusterRole', 'lazyscope-controller', [
          { op: 'test', path: '/rules/6/resourceNames/0', value: 'istio' },
          { op: 'add', path: '/rules/6/resourceNames/-', value: 'istio-1-30' },
          { op: 'add', path: '/rules/6/resourceNames/-', value: 'istio-1-31' },
        ]),
        operations('Deployment', 'lazyscope-egress', [
          { op: 'remove', path: '/spec/template/metadata/labels/sidecar.istio.io~1inject' },
          { op: 'add', path: '/spec/template/metadata/labels/istio.io~1rev', value: '1-31' },
        ]),
      ],
    },
  ],
  [
    'settings of the companions',
    {
      controller: { env: { LAZYSCOPE_LEARNING_WINDOW_SECONDS: 3600000 } },
      node: { env: { LAZYSCOPE_LOG_LEVEL: 'debug' } },
    },
    {
      patches: [
        env('lazyscope-controller', { LAZYSCOPE_LEARNING_WINDOW_SECONDS: '3600000' }),
        env('lazyscope-node', { LAZYSCOPE_LOG_LEVEL: 'debug' }),
      ],
    },
  ],
  [
    'images from a mirror by digest, with a pull secret',
    {
      image: { repository: 'mirror.example:5000/companion', digest, pullPolicy: 'Always' },
      bypass: {
        enabled: true,
        image: { repository: 'mirror.example/bypass', tag: '7', pullPolicy: 'Never' },
      },
      imagePullSecrets: [{ name: 'mirror' }],
    },
    {
      resources: [components.bypass],
      images: [
        { name: 'lazyscope/companion', newName: 'mirror.example:5000/companion', digest },
        { name: 'lazyscope/bypass', newName: 'mirror.example/bypass', newTag: '7' },
      ],
      patches: [
        pod('lazyscope-(controller|node|egress|bypass)', {
          imagePullSecrets: [{ name: 'mirror' }],
        }),
        pod('lazyscope-(controller|node)', {
          containers: [{ name: 'companion', imagePullPolicy: 'Always' }],
        }),
        pod('lazyscope-bypass', { containers: [{ name: 'bypass', imagePullPolicy: 'Never' }] }),
      ],
    },
  ],
  [
    'the components',
    { bypass: { enabled: true }, monitoring: { enabled: true } },
    { resources: Object.values(components) },
  ],
  [
    'other replicas, resources and places of the pods',
    {
      controller: { replicas: 3, resources, ...placed },
      node: { resources, ...placed },
      gateway: { replicas: 4, resources, ...placed },
      bypass: { enabled: true, resources, ...placed },
    },
    {
      resources: [components.bypass],
      patches: [
        placedBy('lazyscope-controller', 'companion'),
        placedBy('lazyscope-node', 'companion'),
        placedBy('lazyscope-egress', 'istio-proxy'),
        placedBy('lazyscope-bypass', 'bypass'),
        workload('lazyscope-controller', { spec: { replicas: 3 } }),
        workload('lazyscope-egress', { spec: { replicas: 4 } }),
      ],
    },
  ],
];

/** The objects of an overlay on manifests/base. */
function kustomized({ resources: more = [], ...overlay }: Overlay): Manifest[] {
  const folder = join(copyOfManifests(), 'overlay');
  mkdirSync(folder);
  const kustomization = { resources: ['../base', ...more], ...overlay };
  writeFileSync(join(folder, 'kustomization.yaml'), stringify(kustomization));
  return sorted(render(folder));
}

describe('the chart renders the objects of kustomize', () => {
  test.each(wishes)('%s', async (_, values, overlay) => {
    const rendered = await charts.template('lazyscope', system, {
      ...values,
      namespace: { create: true },
    });
    expect(rendered).toEqual(kustomized(overlay));
  });

  test('without the namespace and the definition, if others install them', async () => {
    const rendered = await charts.template('lazyscope', system, { crds: { install: false } });
    const others = kustomized({}).filter(
      ({ kind }) => kind !== 'Namespace' && kind !== 'CustomResourceDefinition',
    );
    expect(rendered).toEqual(others);
  });
});

test('the definition and the namespace outlive the release', async () => {
  const values = ['--set', 'namespace.create=true', '-n', system, '--kube-version', '1.35.4'];
  const text = await charts.helm(['template', 'any', join(charts.folder, 'lazyscope'), ...values]);
  const kept = text
    .split('\n---\n')
    .filter((part) => part.includes('helm.sh/resource-policy: keep'));
  expect(kept.map((part) => /^kind: (\w+)$/m.exec(part)?.[1]).sort()).toEqual([
    'CustomResourceDefinition',
    'Namespace',
  ]);
  for (const part of kept) {
    expect(part).toContain('argocd.argoproj.io/sync-options: Prune=false,Delete=false');
    expect(part).toContain('kustomize.toolkit.fluxcd.io/prune: disabled');
  }
});

test.each<[string, Values, string]>([
  ['an unknown value', { images: {} }, 'images'],
  ['a misspelt value', { mesh: { clusterdomain: 'a' } }, 'clusterdomain'],
  ['a domain that is none', { mesh: { clusterDomain: 'Corp Example' } }, 'clusterDomain'],
  ['a digest that is none', { image: { digest: 'latest' } }, 'digest'],
  ['an image without tag and digest', { image: { tag: '' } }, 'neither a tag nor a digest'],
  ['a setting of another product', { controller: { env: { PATH: 'x' } } }, 'PATH'],
  ['no replica', { controller: { replicas: 0 } }, 'replicas'],
])('the chart refuses %s, and names it', async (_, values, named) => {
  expect(await charts.refusal('lazyscope', system, values)).toContain(named);
});

test('the chart refuses another namespace, and names the remedy', async () => {
  const said = await charts.refusal('lazyscope', 'default', {});
  expect(said).toContain('--namespace lazyscope-system --create-namespace');
});
