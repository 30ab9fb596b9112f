import { hasCluster } from './cluster-query.ts';
import type { Mesh } from './mesh.ts';
import { isReady, type PodObject } from './pods.ts';
import { appPorts } from './shop.ts';

/**
 * Returns when a new Service is reachable by every route of a first call: by its address from each
 * node (kube-proxy), and through each ready lazy egress gateway (istiod). Both learn of new
 * Services independently, and late after an outage of the API server.
 */
export async function untilServed(mesh: Mesh, namespace: string, name: string): Promise<void> {
  await untilAddressed(mesh, namespace, name);
  const cluster = `outbound_\\.${appPorts.http}_\\._\\.${name}\\.${namespace}\\.svc\\..*`;
  for (const gateway of await readyGateways(mesh))
    await mesh.waitFor(`${namespace}/${name} in the gateway ${gateway}`, async () => {
      const pod = { namespace: 'lazyscope-system', name: gateway };
      return hasCluster(mesh, pod, cluster);
    });
}

/** Returns when the address of a new Service leads to a server from each node. */
export async function untilAddressed(mesh: Mesh, namespace: string, name: string): Promise<void> {
  const { spec } = await mesh.get(['service', name, '-n', namespace]);
  const connect = `exec 3<>/dev/tcp/${spec.clusterIP}/${appPorts.http}`;
  for (const node of mesh.state.nodes)
    await mesh.waitFor(`the address of ${namespace}/${name} on ${node.name}`, async () => {
      await mesh.onNode(node.name, ['timeout', '5', 'bash', '-c', connect]);
      return true;
    });
}

async function readyGateways(mesh: Mesh): Promise<string[]> {
  const selector = ['-l', 'app.kubernetes.io/name=lazyscope-egress'];
  const { items } = await mesh.get(['pods', '-n', 'lazyscope-system', ...selector]);
  return (items as PodObject[]).filter(isReady).map(({ metadata }) => metadata.name);
}
