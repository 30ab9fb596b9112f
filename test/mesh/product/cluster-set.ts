import { readFile } from 'node:fs/promises';
import { ensureMcsApi } from '../../../box/artifacts/definitions.ts';
import type { Mesh } from '../../../box/mesh.ts';
import type { RemoteCluster } from '../../../box/remote-cluster.ts';

const group = 'multicluster.x-k8s.io';
const apiVersion = `${group}/v1alpha1`;
const istiod = ['deployment/istiod', '-n', 'istio-system'];
const settings = ['ENABLE_MCS_SERVICE_DISCOVERY', 'ENABLE_MCS_HOST'];

/** A Service of the other cluster that the first cluster imports. */
export type Imported = { namespace: string; name: string; ip: string; port: number };

/**
 * Makes the two clusters a ClusterSet: the definitions of the Multi-Cluster Services API in both,
 * and the settings of istiod. No controller of that API is here, so a test writes the ServiceImport
 * itself.
 */
export async function joinClusterSet(mesh: Mesh, remote: RemoteCluster): Promise<void> {
  const definitions = await readFile(await ensureMcsApi(() => undefined), 'utf8');
  await Promise.all([mesh.apply(definitions), remote.applyText(definitions)]);
  await mesh.kubectl(['wait', '--for=condition=Established', ...definitionNames]);
  await setIstiod(
    mesh,
    settings.map((name) => `${name}=true`),
  );
}

export async function leaveClusterSet(mesh: Mesh): Promise<void> {
  await mesh.kubectl(['delete', '--ignore-not-found', ...definitionNames]);
  await setIstiod(
    mesh,
    settings.map((name) => `${name}-`),
  );
}

const definitionNames = ['serviceexports', 'serviceimports'].map((name) => `crd/${name}.${group}`);

async function setIstiod(mesh: Mesh, environment: string[]): Promise<void> {
  await mesh.kubectl(['set', 'env', ...istiod, ...environment]);
  await mesh.kubectl(['rollout', 'status', ...istiod, '--timeout=180s']);
}

/**
 * Exported by the cluster that has it, and imported by both, as the API wants it: istiod shows its
 * endpoints to other clusters only if their own cluster imports it, too.
 */
export async function shareService(mesh: Mesh, remote: RemoteCluster, of: Imported): Promise<void> {
  const metadata = { name: of.name, namespace: of.namespace };
  const spec = { type: 'ClusterSetIP', ips: [of.ip], ports: [{ name: 'http', port: of.port }] };
  const imported = { apiVersion, kind: 'ServiceImport', metadata, spec };
  await remote.apply([imported, { apiVersion, kind: 'ServiceExport', metadata }]);
  await mesh.apply([imported]);
}

export const deleteImport = (mesh: Mesh, { namespace, name }: Imported) =>
  mesh.kubectl(['delete', 'serviceimport', name, '-n', namespace]);
