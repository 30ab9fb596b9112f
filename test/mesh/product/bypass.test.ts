import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../../box/app-call.ts';
import { bypassArchive } from '../../../box/artifacts/bypass-image.ts';
import { deleteNamespaces } from '../../../box/fleet.ts';
import { openMesh, type PodRef } from '../../../box/mesh.ts';
import { kubeconfigPath, repoDir } from '../../../box/paths.ts';
import { runResult } from '../../../box/run.ts';
import { appPorts, namespaceObject, workload } from '../../../box/shop.ts';
import { type CompanionPod, metricsOf, sumOf } from '../companion-metrics.ts';

// The component as a user installs it: image, DaemonSet, admission policy, label and annotation.

const mesh = openMesh();
const namespace = 'bypassed';
const component = join(repoDir, 'manifests/components/bypass');
const node = mesh.state.nodes[1]?.name ?? '';
const url = `http://server:${appPorts.http}/`;
let caller: PodRef;

const annotations = { 'lazyscope.io/bypass': 'enabled' };

/** What the agent says on its Node. */
async function stateOf(): Promise<string> {
  const { metadata } = await mesh.get(['node', node]);
  return metadata.annotations?.['lazyscope.io/bypass-state'] ?? '';
}

const untilState = (state: RegExp) =>
  mesh.waitFor(`the state ${state}`, async () => {
    const now = await stateOf();
    if (!state.test(now)) throw new Error(`the state is '${now}'`);
    return now;
  });

async function agentMetrics(): Promise<string> {
  const { items } = await mesh.get(['pods', '-n', 'lazyscope-bypass']);
  return metricsOf(mesh, (items as [CompanionPod])[0]);
}

const redirected = async (hop: string) =>
  sumOf(await agentMetrics(), 'lazyscope_bypass_bytes_total', `hop="${hop}",path="socket"`);

beforeAll(async () => {
  await mesh.loadArchive(await bypassArchive((line) => console.error(`bypass: ${line}`)));
  await mesh.apply(await mesh.kubectl(['kustomize', component]));
  await mesh.kubectl(['label', 'node', node, 'lazyscope.io/bypass=enabled']);
  // Pods that start under the bypass: all of their connections are new.
  await untilState(/^(ready|active)/);
  const placed = { node, annotations };
  await mesh.apply([
    namespaceObject(namespace),
    ...['caller', 'server'].flatMap((name) => workload(namespace, name, placed)),
  ]);
  await mesh.rollout(namespace);
  caller = await mesh.pod(namespace, 'app=caller');
});

afterAll(async () => {
  await mesh.kubectl(['delete', '--ignore-not-found', '-k', component]);
  await deleteNamespaces(mesh, namespace);
});

test('the agent passes its self-test as a pod, and serves the annotated pods of its node', async () => {
  expect(await untilState(/^active/)).toBe('active (2 pods)');
  const { metadata } = await mesh.get(['node', node]);
  expect(metadata.labels['lazyscope.io/bypass-capable']).toBe('true');
  const report = JSON.parse(metadata.annotations['lazyscope.io/bypass-report']);
  expect(new Set(Object.values(report.selftest))).toEqual(new Set(['ok']));
});

// The application's own hop is left out: the box runs its calls beside the pod's cgroup.
test('calls between two pods of the node take the bypass from sidecar to sidecar and to the application', async () => {
  await mesh.waitFor('the bypass of both hops', async () => {
    expect((await call(mesh, caller, url)).status).toBe(200);
    const bytes = await Promise.all(['inbound', 'other'].map(redirected));
    return bytes.every((each) => each > 0);
  });
});

test('`lazyscope nodes` says where the bypass is on', async () => {
  const nodes = await mesh.waitFor('what the controller says of the bypass', async () => {
    const command = [process.execPath, '--import', 'tsx', 'command/main.ts', 'nodes', '-o', 'json'];
    const [program = '', ...args] = mesh.inNetwork(command);
    const { stdout } = await runResult(program, args, {
      cwd: repoDir,
      env: { ...process.env, KUBECONFIG: kubeconfigPath },
    });
    const of = (JSON.parse(stdout).nodes as { node: string; bypass: { does: string } }[]).map(
      ({ node: name, bypass }) => [name, bypass.does],
    );
    return of.some(([, does]) => does === 'on') && Object.fromEntries(of);
  });
  expect(nodes[node]).toBe('on');
});

test('the identity of the agent writes to the Node that its token names only', async () => {
  const labels = { 'lazyscope.io/bypass-capable': 'false' };
  const object = { apiVersion: 'v1', kind: 'Node', metadata: { name: node, labels } };
  const identity = 'system:serviceaccount:lazyscope-bypass:lazyscope-bypass';
  const args = ['apply', '--server-side', '--force-conflicts', `--as=${identity}`, '-f', '-'];
  const written = mesh.kubectl(args, JSON.stringify(object));
  await expect(written).rejects.toThrow('it may write to the Node that it runs on only');
});

test('without the label the agent leaves the node, and calls go on', async () => {
  await mesh.kubectl(['label', 'node', node, 'lazyscope.io/bypass-']);
  await mesh.waitFor('the end of the agent', async () => {
    const { items } = await mesh.get(['pods', '-n', 'lazyscope-bypass']);
    return items.length === 0;
  });
  expect((await call(mesh, caller, url)).status).toBe(200);
});
