import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { accountFolder } from '../../box/api/accounts.ts';
import { type ApiServer, startApiServer } from '../../box/api/api-server.ts';
import { installFilter } from '../../box/api/population.ts';
import { type Manifest, manifests, render } from '../unit/manifests/render.ts';
import { controllerJourney, webPod } from './journey.ts';

// What a GitOps tool does with the manifests, on a real API server: it marks its objects, applies
// them again and again on the server, and prunes what has left its source.

vi.setConfig({ testTimeout: 120_000, hookTimeout: 300_000 });

const system = 'lazyscope-system';
const app = 'shop';
const tool = 'gitops-tool';
/** The label by which Argo CD knows the objects of an application. */
const mark = { 'app.kubernetes.io/instance': 'lazyscope' };

/** The kinds of the Prometheus operator are not on this API server. */
const source = ['base', 'components/bypass'].flatMap((folder) =>
  render(join(manifests, folder)).map((object) => ({
    ...object,
    metadata: { ...object.metadata, labels: { ...object.metadata.labels, ...mark } },
  })),
) as Manifest[];
const sent = source.map((object) => JSON.stringify(object)).join('\n---\n');

let api: ApiServer;
beforeAll(async () => {
  api = await startApiServer(console.error);
  process.env.KUBERNETES_SERVICE_HOST = api.environment.KUBERNETES_SERVICE_HOST;
  process.env.KUBERNETES_SERVICE_PORT = api.environment.KUBERNETES_SERVICE_PORT;
  await api.call('POST', '/api/v1/namespaces', { metadata: { name: 'istio-system' } });
  await apply(tool);
  const labels = { 'lazyscope.io/mode': 'enforce' };
  await api.call('POST', '/api/v1/namespaces', { metadata: { name: app, labels } });
  await api.call('POST', `/api/v1/namespaces/${app}/pods`, webPod);
  const status = { phase: 'Running', podIP: '10.1.0.1', podIPs: [{ ip: '10.1.0.1' }] };
  await api.call('PATCH', `/api/v1/namespaces/${app}/pods/web/status`, { status });
  await installFilter(api, app);
  const account = await accountFolder(api, { namespace: system, name: 'lazyscope-controller' });
  const { path } = account;
  expect(await controllerJourney({ api, account: path, system, app })).toEqual([]);
  await account.remove();
});
afterAll(() => api?.stop());

function apply(manager: string): Promise<string> {
  return api.kubectl(['apply', '--server-side', '--field-manager', manager, '-f', '-'], sent);
}

const keyOf = ({ kind, metadata }: Manifest) => `${kind} ${metadata.name}`;

/** Every object of the cluster with the mark, by `Kind name`. */
async function marked(): Promise<Manifest[]> {
  const kinds = await api.kubectl(['api-resources', '--verbs=list,delete', '-o', 'name']);
  const all = kinds.trim().replaceAll('\n', ',');
  const selector = Object.entries(mark).map((pair) => pair.join('='));
  const found = await api.kubectl(['get', all, '-A', '-l', selector.join(','), '-o', 'json']);
  return (JSON.parse(found) as { items: Manifest[] }).items;
}

test.each([tool, 'another-tool'])(
  'after the controller has run, %s applies the same on the server without a change or conflict',
  async (manager) => {
    const diff = ['diff', '--server-side', '--field-manager', manager, '-f', '-'];
    expect(await api.kubectl(diff, sent)).toBe('');
    await apply(manager);
    expect(await api.kubectl(diff, sent)).toBe('');
  },
);

test('what the controller writes carries no mark of a tool, and has its field manager', async () => {
  expect(new Set((await marked()).map(keyOf))).toEqual(new Set(source.map(keyOf)));
  const get = async (...args: string[]) =>
    JSON.parse(
      await api.kubectl(['get', ...args, '-n', system, '--show-managed-fields', '-o', 'json']),
    ) as Manifest;
  const managersOf = ({ metadata }: Manifest) =>
    metadata.managedFields.map(({ manager }: { manager: string }) => manager);
  expect(managersOf(await get('serviceentry', 'lazyscope-http-ports'))).toEqual(['lazyscope']);
  expect(managersOf(await get('configmap', 'lazyscope-ca'))).toEqual(['lazyscope']);
  const secret = await get('secret', 'lazyscope-serving');
  expect(secret.metadata.labels ?? {}).toEqual({});
  expect(secret.metadata.annotations ?? {}).toEqual({});
});

test('a prune of everything spares the certificate, the namespace, the definition and scopes', async () => {
  const scopes = `/apis/lazyscope.io/v1alpha1/namespaces/${app}/workloadscopes`;
  const kind = { apiVersion: 'lazyscope.io/v1alpha1', kind: 'WorkloadScope' };
  const kept = { ...kind, metadata: { name: 'kept' }, spec: { pins: ['a/b'] } };
  await api.call('POST', scopes, kept);
  const isSpared = ({ metadata: { annotations = {} } }: Manifest) =>
    annotations['argocd.argoproj.io/sync-options']?.includes('Prune=false') &&
    annotations['kustomize.toolkit.fluxcd.io/prune'] === 'disabled';
  const objects = await marked();
  expect(objects.filter(isSpared).map(keyOf).sort()).toEqual([
    'CustomResourceDefinition workloadscopes.lazyscope.io',
    'Namespace lazyscope-system',
  ]);
  const pruned = objects.filter((object) => !isSpared(object));
  const input = pruned.map((object) => JSON.stringify(object)).join('\n---\n');
  await api.kubectl(['delete', '--wait=false', '--ignore-not-found', '-f', '-'], input);
  const written = [
    ['secret', 'lazyscope-serving'],
    ['configmap', 'lazyscope-ca'],
    ['lease', 'lazyscope-controller'],
    ['serviceentry', 'lazyscope-http-ports'],
  ];
  for (const [kind = '', name = ''] of written)
    expect(await api.kubectl(['get', kind, name, '-n', system, '-o', 'name'])).toContain(name);
  expect(await api.kubectl(['get', 'workloadscope', 'kept', '-n', app, '-o', 'name'])).toContain(
    'kept',
  );
});
