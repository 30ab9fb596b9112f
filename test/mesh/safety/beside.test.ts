import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { call } from '../../../box/app-call.ts';
import { hasCluster } from '../../../box/cluster-query.ts';
import {
  deleteNamespaces,
  importedHosts,
  syntheticCluster,
  untilNarrowed,
} from '../../../box/fleet.ts';
import { load } from '../../../box/load.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { appContainer, appPorts } from '../../../box/shop.ts';
import { expectAllAnswered } from '../traffic.ts';
import { enableClient } from './clients.ts';
import { noKnownCallFails, untilFull, untilNothingIs, untilReason } from './rig.ts';

const mesh = openMesh();
const [namespace, hidden] = ['beside', 'beside-hidden'] as const;
const hiddenLabel = 'lazyscope.test/hidden';
let client: PodRef;
let gateway: PodRef;

beforeAll(async () => {
  client = await enableClient(mesh, namespace, 'enforce');
});

afterAll(async () => {
  await selectNamespaces(undefined);
  await deleteNamespaces(mesh, namespace, hidden);
});

test('a gateway in an enabled namespace has no scope and no filter, and keeps its configuration', async () => {
  const labels = { app: 'gateway', 'sidecar.istio.io/inject': 'true' };
  await mesh.apply([
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'gateway', namespace },
      spec: {
        selector: { matchLabels: { app: 'gateway' } },
        template: {
          metadata: { labels, annotations: { 'inject.istio.io/templates': 'gateway' } },
          spec: {
            containers: [{ name: 'istio-proxy', image: 'auto', imagePullPolicy: 'IfNotPresent' }],
          },
        },
      },
    },
  ]);
  await mesh.rollout(namespace);
  gateway = await mesh.pod(namespace, 'app=gateway');
  await mesh.waitFor('the clusters of the mesh', () => hasCluster(mesh, gateway, syntheticCluster));
  expect(await mesh.admin(gateway, '/config_dump')).not.toContain('lazyscope-tcp');
  const scopes = await mesh.kubectl(['get', 'workloadscopes', '-n', namespace, '-o', 'name']);
  expect(scopes.trim()).toBe('workloadscope.lazyscope.io/client');
});

/** Sets istiod's discovery selectors as users do, in the ConfigMap of the mesh. */
async function selectNamespaces(selectors: object[] | undefined): Promise<void> {
  const { data } = await mesh.get(['configmap', 'istio', '-n', 'istio-system']);
  const config = { ...parse(data.mesh), discoverySelectors: selectors };
  const patch = JSON.stringify({ data: { mesh: stringify(config) } });
  const name = ['configmap', 'istio', '-n', 'istio-system'];
  await mesh.kubectl(['patch', ...name, '--type', 'merge', '-p', patch]);
}

test('calls to services that discoverySelectors hide behave as without a scope, and no other call is affected', async () => {
  const labels = { app: 'server' };
  const metadata = { name: 'server', namespace: hidden };
  await mesh.apply([
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: hidden, labels: { [hiddenLabel]: 'true' } },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector: labels, ports: [{ name: 'http', port: appPorts.http }] },
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...metadata, labels },
      spec: { containers: [appContainer('server')] },
    },
  ]);
  await mesh.kubectl(['wait', '--for=condition=Ready', 'pod/server', '-n', hidden]);
  const isListed = () => hasCluster(mesh, gateway, `.*\\.${hidden}\\..*`);
  await mesh.waitFor('its Service in full configuration', isListed);
  const url = `http://server.${hidden}:${appPorts.http}/`;
  const notHidden = [{ matchExpressions: [{ key: hiddenLabel, operator: 'DoesNotExist' }] }];
  await noKnownCallFails(mesh, client, async () => {
    await selectNamespaces(notHidden);
    await mesh.waitFor('Istio to leave it out', async () => !(await isListed()));
    const flags = { rps: 20, seconds: 5, more: ['--connections', '1'] };
    const calls = await load(mesh, client, [url], flags);
    expectAllAnswered(calls, { least: (flags.rps * flags.seconds) / 2 });
  });
  expect((await call(mesh, client, url)).body).toMatchObject({ name: 'server', peerIdentity: '' });
  const imported = await importedHosts(mesh, namespace, 'client');
  expect(imported.filter((entry) => entry.startsWith('servers/'))).toHaveLength(2);
});

test('a namespace that discoverySelectors hide is not narrowed, until they select it again', async () => {
  await mesh.kubectl(['label', 'namespace', namespace, `${hiddenLabel}=true`]);
  await untilReason(mesh, namespace, 'NotDiscovered');
  await untilNothingIs(mesh, namespace, 'sidecars');
  await untilFull(mesh, client);
  await mesh.kubectl(['label', 'namespace', namespace, `${hiddenLabel}-`]);
  await untilReason(mesh, namespace, 'Enforced');
  await untilNarrowed(mesh, namespace, ['client']);
});
