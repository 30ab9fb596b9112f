import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Binaries, binary } from '../artifacts/binaries.ts';
import { imageHub, imageName, imageTag } from '../artifacts/images.ts';
import { boxDir, kubeconfigPath, stateDir } from '../paths.ts';
import { lastLines, run } from '../run.ts';
import { clusterDnsAddress, clusterDomain, outside } from './network-plan.ts';

/** Reads a manifest and fills its `$NAME`s; throws if a name has no value. */
async function manifest(name: string, values: Record<string, string>): Promise<string> {
  const text = await readFile(join(boxDir, 'cluster', 'manifests', name), 'utf8');
  return text.replaceAll(/\$([A-Z_]+)/g, (_, key: string) => {
    const value = values[key];
    if (value === undefined) throw new Error(`manifests/${name}: no value for $${key}`);
    return value;
  });
}

/** kubectl as the admin, from inside the box. */
function kubectl(binaries: Binaries, args: string[], input = ''): Promise<string> {
  return run(binary(binaries, 'kubectl'), [`--kubeconfig=${kubeconfigPath}`, ...args], { input });
}

async function apply(binaries: Binaries, objects: string): Promise<void> {
  await kubectl(binaries, ['apply', '--server-side', '--force-conflicts', '-f', '-'], objects);
}

export async function installCoreDns(binaries: Binaries): Promise<void> {
  const values = {
    DOMAIN: clusterDomain,
    CLUSTER_IP: clusterDnsAddress,
    IMAGE: imageName('coredns'),
    OUTSIDE_ADDRESS: outside.address,
    OUTSIDE_HOST: outside.host,
    OUTSIDE_DOMAIN: outside.domain,
  };
  await apply(binaries, await manifest('coredns.yaml', values));
}

/** Applies the output of `istioctl manifest generate` for our settings, and the Gateway API. */
export async function installIstio(binaries: Binaries): Promise<void> {
  const settings = join(stateDir, 'istio.yaml');
  await writeFile(settings, await manifest('istio.yaml', { HUB: imageHub, TAG: imageTag }));
  const generate = ['manifest', 'generate', '-f', settings];
  const objects = await run(binary(binaries, 'istioctl'), generate);
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'istio-system' } };
  const gatewayApi = await readFile(binary(binaries, 'gateway-api.yaml'), 'utf8');
  // Applied before istiod, which looks for these kinds when it starts.
  await apply(binaries, `${gatewayApi}\n---\n${JSON.stringify(namespace)}\n---\n${objects}`);
}

/** Returns when all nodes are ready and CoreDNS, istiod and the ingress gateway serve. */
export async function waitForInstalls(binaries: Binaries, nodes: number): Promise<void> {
  const deadline = Date.now() + 60_000;
  while ((await kubectl(binaries, ['get', 'nodes', '-o', 'name'])).split('\n').length <= nodes) {
    if (Date.now() > deadline) throw new Error(`fewer than ${nodes} nodes registered in 60 s`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await kubectl(binaries, ['wait', '--for=condition=Ready', 'nodes', '--all', '--timeout=60s']);
  const deployments = [
    ['kube-system', 'coredns'],
    ['istio-system', 'istiod'],
    ['istio-system', 'istio-ingressgateway'],
  ];
  for (const [namespace, name] of deployments) {
    const rollout = ['rollout', 'status', '-n', `${namespace}`, `deployment/${name}`];
    await kubectl(binaries, [...rollout, '--timeout=120s']).catch(async (error: Error) => {
      throw new Error(`${error.message}\n${await podStates(binaries, `${namespace}`)}`);
    });
  }
}

async function podStates(binaries: Binaries, namespace: string): Promise<string> {
  const get = (args: string[]) => kubectl(binaries, ['get', '-n', namespace, ...args]);
  const events = await get(['events', '--sort-by=.lastTimestamp']);
  return `${await get(['pods', '-o', 'wide'])}\n${lastLines(events, 20)}`;
}
