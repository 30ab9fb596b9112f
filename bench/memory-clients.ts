import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { call } from '../box/app-call.ts';
import { entryOf, serviceObject, target, untilImported } from '../box/fleet.ts';
import type { Mesh, PodRef } from '../box/mesh.ts';
import { repoDir } from '../box/paths.ts';
import { enableNamespace } from '../box/product.ts';
import { appPorts, namespaceObject, workload } from '../box/shop.ts';
import { removeNamespaces } from './cluster.ts';

/** The compared sidecars, all of which call the same destinations. */

const plain = 'bench-memory';
export const enabled = 'bench-memory-enabled';
const destinations = 5;
/** Two HTTP ports, as every other service of the mesh has (box/synthetic-services.ts). */
const ports = [
  { name: 'http', port: appPorts.http },
  { name: 'http-admin', port: 9080, targetPort: appPorts.http },
];

/** Namespace and name of each client. */
const clients = {
  untouched: [plain, 'untouched'],
  byHand: [plain, 'by-hand'],
  stock: [enabled, 'stock'],
  allocator: [enabled, 'allocator'],
} as const;
export type ClientName = keyof typeof clients;
const names = Object.keys(clients) as ClientName[];

/** The Sidecar that a user who knows the destinations would write. */
export const handWritten = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'Sidecar',
  metadata: { name: 'by-hand', namespace: plain },
  spec: {
    workloadSelector: { labels: { app: clients.byHand[1] } },
    egress: [
      { hosts: Array.from({ length: destinations }, (_, i) => entryOf(enabled, target(i))) },
    ],
  },
};

/** Creates the clients with full configuration; the enabled namespace is in mode observe. */
export async function installClients(mesh: Mesh): Promise<void> {
  await mesh.apply([
    namespaceObject(plain),
    namespaceObject(enabled),
    await allocatorSettings(),
    ...workload(enabled, 'server'),
    ...Array.from({ length: destinations }, (_, i) => serviceObject(enabled, target(i), { ports })),
    ...names.flatMap((name) => {
      const [namespace, app] = clients[name];
      const more = name === 'allocator' ? withAllocator : {};
      const objects = workload(namespace, app) as WorkloadObject[];
      return objects.map((object) => annotated(object, { ...roomForDump, ...more }));
    }),
  ]);
  await mesh.rollout(plain);
  await mesh.rollout(enabled);
  await enableNamespace(mesh, enabled, 'observe');
}

type WorkloadObject = { kind: string; spec?: { template?: { metadata: object } } };

const withAllocator = { 'sidecar.istio.io/bootstrapOverride': 'lazyscope-allocator' };
/**
 * With 5,000 services a dump of the whole configuration needs more than Istio's default of 1 GiB.
 */
const roomForDump = {
  'sidecar.istio.io/proxyMemory': '128Mi',
  'sidecar.istio.io/proxyMemoryLimit': '4Gi',
};

function annotated(object: WorkloadObject, annotations: Record<string, string>): object {
  if (object.kind !== 'Deployment' || !object.spec?.template) return object;
  const { metadata } = object.spec.template;
  const template = { ...object.spec.template, metadata: { ...metadata, annotations } };
  return { ...object, spec: { ...object.spec, template } };
}

/** The opt-in component's settings, for the namespace. */
async function allocatorSettings(): Promise<object> {
  const path = join(repoDir, 'manifests', 'components', 'allocator', 'configmap.yaml');
  const object = parse(await readFile(path, 'utf8')) as { metadata: object };
  return { ...object, metadata: { ...object.metadata, namespace: enabled } };
}

/** Reads one value from the pod of each client. */
export async function ofEach<Value>(
  mesh: Mesh,
  look: (pod: PodRef) => Promise<Value>,
): Promise<Record<ClientName, Value>> {
  const found: [ClientName, Value][] = [];
  for (const name of names) found.push([name, await look(await clientPod(mesh, name))]);
  return Object.fromEntries(found) as Record<ClientName, Value>;
}

export function clientPod(mesh: Mesh, name: ClientName): Promise<PodRef> {
  const [namespace, app] = clients[name];
  return mesh.pod(namespace, `app=${app}`);
}

/**
 * Waits until each destination has answered: a proxy that has just received 10,000 clusters may
 * still lack an endpoint.
 */
export async function callDestinations(mesh: Mesh): Promise<void> {
  await ofEach(mesh, async (pod) => {
    for (let i = 0; i < destinations; i++) {
      const url = `http://${target(i)}.${enabled}:${appPorts.http}/`;
      await mesh.waitFor(`an answer to ${pod.name} of ${url}`, async () => {
        const { status, error } = await call(mesh, pod, url);
        if (status !== 200) console.error(`${pod.name}: ${url}: ${status} ${error ?? ''}`);
        return status === 200;
      });
    }
  });
}

/** Waits until our scopes have all called hosts. */
export async function untilLearned(mesh: Mesh): Promise<void> {
  for (const name of ['stock', 'allocator'] as const) {
    const [namespace, app] = clients[name];
    await untilImported(mesh, namespace, app, [...Array(destinations).keys()]);
  }
}

/** Restarts the pods, which then start with their scope. */
export async function restart(mesh: Mesh): Promise<void> {
  for (const [namespace, app] of Object.values(clients))
    await mesh.kubectl(['rollout', 'restart', 'deployment', app, '-n', namespace]);
  for (const namespace of [plain, enabled]) await mesh.rollout(namespace);
  // A terminating pod is still ready for a moment.
  await mesh.waitFor('the old pods to be gone', async () => {
    for (const [namespace, app] of Object.values(clients)) {
      const { items } = await mesh.get(['pods', '-n', namespace, '-l', `app=${app}`]);
      if (items.length !== 1) return false;
    }
    return true;
  });
}

export const removeClients = (mesh: Mesh) => removeNamespaces(mesh, plain, enabled);
