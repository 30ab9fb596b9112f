import { createFleet, urlIn } from '../../../box/fleet.ts';
import type { Mesh } from '../../../box/mesh.ts';
import { podsOf } from './victims.ts';

/** The namespace of the server that all tests of this group call, by many names. */
export const targetsNamespace = 'targets';
/** Each file has callers of its own, which have called none of them when the file starts. */
export const targets = 1000;

export const targetUrl = (index: number) => urlIn(targetsNamespace, index);

/** The node of the DNS server and of the server that is called. It is never rebooted. */
export async function keptNode(mesh: Mesh): Promise<string> {
  const [dns] = await podsOf(mesh, 'kube-system', 'k8s-app=kube-dns');
  if (dns === undefined) throw new Error('no DNS server in the mesh');
  return dns.spec.nodeName;
}

/** STRICT, so that a call in plain text fails. */
export async function createTargets(mesh: Mesh): Promise<void> {
  await createFleet(mesh, {
    ...{ namespace: targetsNamespace, clients: [], targets, strict: true, onlyHttp: true },
    nodes: { server: await keptNode(mesh) },
  });
}
