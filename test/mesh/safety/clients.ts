import { call } from '../../../box/app-call.ts';
import { clusterNames, untilNarrowed } from '../../../box/fleet.ts';
import type { Mesh, PodRef } from '../../../box/mesh.ts';
import { applyBase, enableNamespace, type Mode } from '../../../box/product.ts';
import { namespaceObject, workload } from '../../../box/shop.ts';
import { clientName, known, safetySettings, targetHost, targetUrl } from './rig.ts';

/** Installs the product again if a test file has removed it. */
async function ensureSystem(mesh: Mesh): Promise<void> {
  const name = ['deployment', 'lazyscope-controller', '-n', 'lazyscope-system'];
  const found = await mesh.kubectl(['get', ...name, '--ignore-not-found', '-o', 'name']);
  if (found.trim() === '') await applyBase(mesh, safetySettings);
}

type Deployment = {
  kind: string;
  spec: {
    template: {
      metadata: { annotations?: Record<string, string> };
      spec: { containers: object[]; terminationGracePeriodSeconds?: number };
    };
  };
};

/** Seconds until Envoy closes connections of removed clusters, in tests that wait for this. */
export const drainSeconds = 5;

type ClientOptions = {
  /** Seconds that the caller continues to call after its pod is deleted. */
  lingerSeconds?: number;
  /**
   * Seconds until the caller's Envoy closes connections of removed listeners and clusters. Istio's
   * default is 45.
   */
  drainSeconds?: number;
  /**
   * The fallback that manifests/README.md recommends for a mesh that is STRICT everywhere. With
   * this fallback a question without an answer costs no call.
   */
  fallbackDirect?: boolean;
};

/** The namespaces of the tests, each with one caller and its options. */
const namespaces = {
  beside: {},
  leaving: {},
  'leaving-away': { lingerSeconds: 120 },
  life: { drainSeconds, fallbackDirect: true },
  'life-open': { drainSeconds },
  removal: {},
  withdrawal: {},
  'withdrawal-mute': {},
} satisfies Record<string, ClientOptions>;
type ClientNamespace = keyof typeof namespaces;

/** Installs all callers at once, in namespaces that are not enabled yet. */
export async function installClients(mesh: Mesh): Promise<void> {
  const names = Object.keys(namespaces) as ClientNamespace[];
  await mesh.apply(
    names.flatMap((name) => [namespaceObject(name), ...clientObjects(name, namespaces[name])]),
  );
  await Promise.all(names.map((name) => mesh.rollout(name)));
}

function clientObjects(
  namespace: string,
  { lingerSeconds = 0, drainSeconds: drain }: ClientOptions,
): object[] {
  const objects = workload(namespace, clientName) as Deployment[];
  for (const { kind, spec } of objects) {
    if (kind !== 'Deployment') continue;
    const { template } = spec;
    const [app = {}] = template.spec.containers;
    if (lingerSeconds > 0) {
      Object.assign(app, { lifecycle: { preStop: { sleep: { seconds: lingerSeconds } } } });
      template.spec.terminationGracePeriodSeconds = lingerSeconds + 10;
    }
    if (drain !== undefined) {
      const config = JSON.stringify({ drainDuration: `${drain}s` });
      template.metadata.annotations = { 'proxy.istio.io/config': config };
    }
  }
  return objects;
}

/**
 * Enables a namespace. In `enforce` this returns when the caller is narrowed and has made its
 * calls.
 */
export async function enableClient(
  mesh: Mesh,
  namespace: ClientNamespace,
  mode: Mode,
): Promise<PodRef> {
  await ensureSystem(mesh);
  await enableNamespace(mesh, namespace, mode);
  const { fallbackDirect = false }: ClientOptions = namespaces[namespace];
  if (fallbackDirect) {
    const pluginConfig = { fallback: 'direct', directCidrs: ['10.0.0.0/8'] };
    const patch = JSON.stringify({ spec: { pluginConfig } });
    for (const plugin of ['lazyscope', 'lazyscope-tcp'])
      await mesh.kubectl([
        'patch',
        'wasmplugin',
        plugin,
        '-n',
        namespace,
        '--type=merge',
        '-p',
        patch,
      ]);
  }
  const pod = await mesh.pod(namespace, `app=${clientName}`);
  if (mode === 'enforce') await untilKnown(mesh, pod);
  return pod;
}

/**
 * Waits until the caller is narrowed and the destinations of `noKnownCallFails` are in its scope.
 */
async function untilKnown(mesh: Mesh, pod: PodRef): Promise<void> {
  const { namespace } = pod;
  await untilNarrowed(mesh, namespace, [clientName]);
  for (const index of known) await call(mesh, pod, targetUrl(index));
  await mesh.waitFor(`known destinations in the scope of ${namespace}`, async () => {
    const names = await clusterNames(mesh, pod);
    return known.every((index) => names.some((name) => name.endsWith(`|${targetHost(index)}`)));
  });
}
