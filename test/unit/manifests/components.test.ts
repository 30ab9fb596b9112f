import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { copyOfManifests, edit } from './copy.ts';
import { find, type Manifest, manifests, render, repository, valuesOf } from './render.ts';

test('the allocator component reaches the workloads of the kustomization', () => {
  const folder = copyOfManifests();
  writeFileSync(join(folder, 'example/workload.yaml'), workload);
  edit(join(folder, 'example/kustomization.yaml'), (text) =>
    text
      .replace('- namespace.yaml', '- namespace.yaml\n  - workload.yaml')
      .replace('- ../namespace', '- ../namespace\n  - ../components/allocator'),
  );
  const rendered = render(join(folder, 'example'));
  const { metadata } = find(rendered, 'StatefulSet', 'db').spec.template;
  const { data, metadata: placed } = find(
    rendered,
    'ConfigMap',
    metadata.annotations['sidecar.istio.io/bootstrapOverride'],
  );
  expect(placed.namespace).toBe('my-namespace');
  expect(Object.keys(JSON.parse(data['custom_bootstrap.json']).memory_allocator_manager)).toEqual([
    'bytes_to_release',
    'memory_release_interval',
    'soft_memory_limit_bytes',
    'max_unfreed_memory_bytes',
  ]);
});

test('on-restart gives the filter only to pods with its label, and the label to the workloads', () => {
  const folder = copyOfManifests();
  writeFileSync(join(folder, 'example/workload.yaml'), workload);
  edit(join(folder, 'example/kustomization.yaml'), (text) =>
    text
      .replace('- namespace.yaml', '- namespace.yaml\n  - workload.yaml')
      .replace('- ../namespace', '- ../namespace\n  - ../components/on-restart'),
  );
  const rendered = render(join(folder, 'example'));
  const label = { 'lazyscope.io/filter': 'enabled' };
  for (const name of ['lazyscope', 'lazyscope-tcp'])
    expect(find(rendered, 'WasmPlugin', name).spec.selector).toEqual({ matchLabels: label });
  const filter = find(rendered, 'EnvoyFilter', 'lazyscope');
  expect(filter.spec.workloadSelector).toEqual({ labels: label });
  expect(filter.spec.configPatches.length).toBeGreaterThan(10);
  expect(find(rendered, 'StatefulSet', 'db').spec.template.metadata.labels).toEqual({
    app: 'db',
    ...label,
  });
});

test('the former trust domain is accepted in both clusters of first calls', () => {
  const folder = copyOfManifests();
  edit(join(folder, 'components/trust-domain-alias/alias.env'), (text) =>
    text.replace('former.example', 'old.example'),
  );
  edit(join(folder, 'example/kustomization.yaml'), (text) =>
    text.replace('- ../namespace', '- ../namespace\n  - ../components/trust-domain-alias'),
  );
  const filter = find(render(join(folder, 'example')), 'EnvoyFilter', 'lazyscope');
  const accepted = filter.spec.configPatches.flatMap(({ patch }: { patch: { value?: Manifest } }) =>
    valuesOf(patch.value, 'match_typed_subject_alt_names').map((names) => [
      patch.value?.name,
      valuesOf(names, 'prefix'),
    ]),
  );
  const both = ['spiffe://cluster.local/', 'spiffe://old.example/'];
  expect(accepted).toEqual([
    ['lazyscope-egress', both],
    ['lazyscope-direct', both],
  ]);
});

const workload = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: my-namespace}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: db, image: db}]}}
`;

test('alerts and monitors name metrics and ports that exist', () => {
  const rendered = render(join(manifests, 'components/monitoring'));
  const sources = ['frame', 'kube', 'node', 'controller', 'bypass']
    .map((room) => `${room}/metrics.ts`)
    .map((file) => readFileSync(join(repository, 'companion', file), 'utf8'))
    .join('\n');
  const used = ['lazyscope', 'lazyscope-recorded']
    .flatMap((name) => valuesOf(find(rendered, 'PrometheusRule', name), 'expr'))
    .flatMap((expr) => [...String(expr).matchAll(/lazyscope_([a-z_]+?)(?:_bucket)?\b/g)]);
  expect(used.length).toBeGreaterThanOrEqual(5);
  for (const [, metric] of used) expect(sources).toContain(`'${metric}'`);
  const [endpoint] = find(rendered, 'PodMonitor', 'lazyscope').spec.podMetricsEndpoints;
  expect(endpoint.port).toBe('admin');
});

test('the bypass has three capabilities, no root and no writable file', () => {
  const rendered = render(join(manifests, 'components/bypass'));
  const { spec } = find(rendered, 'DaemonSet', 'lazyscope-bypass').spec.template;
  const [{ securityContext, volumeMounts }] = spec.containers;
  expect(securityContext.capabilities).toEqual({
    drop: ['ALL'],
    add: ['BPF', 'NET_ADMIN', 'PERFMON'],
  });
  expect(securityContext.privileged).toBeUndefined();
  expect(securityContext.readOnlyRootFilesystem).toBe(true);
  expect(spec.securityContext.runAsNonRoot).toBe(true);
  expect([spec.hostNetwork, spec.hostPID, spec.hostIPC]).toEqual([undefined, undefined, undefined]);
  for (const { readOnly } of volumeMounts) expect(readOnly).toBe(true);
  // The DaemonSet runs on labelled nodes only, with one loader at a time on a node.
  expect(spec.nodeSelector).toMatchObject({ 'lazyscope.io/bypass': 'enabled' });
  const { rollingUpdate } = find(rendered, 'DaemonSet', 'lazyscope-bypass').spec.updateStrategy;
  expect(rollingUpdate.maxSurge).toBe(0);
});

test('every namespaced object of the bypass is in the bypass’s own namespace', () => {
  const rendered = render(join(manifests, 'components/bypass'));
  const cluster = /^(Namespace|Cluster.*|ValidatingAdmissionPolicy.*)$/;
  for (const { kind, metadata } of rendered)
    expect([kind, metadata.namespace]).toEqual([
      kind,
      cluster.test(kind) ? undefined : 'lazyscope-bypass',
    ]);
});
