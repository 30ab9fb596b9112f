import { type CallResult, call } from './app-call.ts';
import { hasCluster } from './cluster-query.ts';
import type { Mesh, PodRef } from './mesh.ts';
import { enableNamespace, type Fallback, type FirstCall, type Mode } from './product.ts';
import { untilServed } from './served.ts';
import { appPorts, namespaceObject, workload } from './shop.ts';

/**
 * A namespace for a test of the product: clients, one server, and many Services that all lead to
 * that server. Each Service is a destination of its own to Istio, so that every test has first
 * calls left.
 */
export type FleetOptions = {
  namespace: string;
  clients: string[];
  targets: number;
  /** False for clients that call the targets of another namespace. */
  server?: boolean;
  mode?: Mode;
  firstCall?: FirstCall;
  /**
   * All workloads are STRICT. First calls without an answer then use mTLS, unless the test sets
   * another fallback.
   */
  strict?: boolean;
  fallback?: Fallback;
  /** Targets have only their HTTP port; for tests with many targets. */
  onlyHttp?: boolean;
  /** The node that a workload runs on, by its name; any node by default. */
  nodes?: Record<string, string>;
  /** Of all pods. */
  annotations?: Record<string, string>;
};

export const target = (index: number) => `target-${index}`;
/** The name that a caller in the same namespace uses. */
export const urlOf = (index: number) => `http://${target(index)}:${appPorts.http}/`;
/** The name that a caller in another namespace uses. */
export const urlIn = (of: string, index: number) =>
  `http://${target(index)}.${of}:${appPorts.http}/`;
export const hostOf = (namespace: string, name: string) => `${name}.${namespace}.svc.cluster.local`;
export const entryOf = (namespace: string, name: string) =>
  `${namespace}/${hostOf(namespace, name)}`;

const targetPorts = [
  { name: 'http', port: appPorts.http },
  { name: 'grpc', port: appPorts.grpc },
  { name: 'tcp-server-first', port: appPorts.tcpServerFirst },
  { name: 'tcp-echo', port: appPorts.tcpEcho },
];

export function serviceObject(namespace: string, name: string, extra: object = {}): object {
  const spec = { selector: { app: 'server' }, ports: targetPorts, ...extra };
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec };
}

export const strictMtls = (namespace: string): object => ({
  ...{ apiVersion: 'security.istio.io/v1', kind: 'PeerAuthentication' },
  metadata: { name: 'strict', namespace },
  spec: { mtls: { mode: 'STRICT' } },
});

/** Only the workload `client` of the same or another namespace may call the server. */
export const onlyClient = (namespace: string, of = namespace): object => ({
  ...{ apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy' },
  metadata: { name: 'only-client', namespace },
  spec: {
    selector: { matchLabels: { app: 'server' } },
    rules: [{ from: [{ source: { principals: [`cluster.local/ns/${of}/sa/client`] } }] }],
  },
});

/** Creates the namespace, enables it and, in `enforce`, returns when every workload is narrowed. */
export async function createFleet(mesh: Mesh, options: FleetOptions): Promise<void> {
  const { namespace, clients, targets, mode = 'enforce', nodes = {}, annotations } = options;
  const names = options.server === false ? clients : ['server', ...clients];
  const ports = options.onlyHttp ? { ports: targetPorts.slice(0, 1) } : {};
  await mesh.apply([
    namespaceObject(namespace),
    ...names.flatMap((name) => workload(namespace, name, { node: nodes[name], annotations })),
    ...Array.from({ length: targets }, (_, i) => serviceObject(namespace, target(i), ports)),
    ...(options.strict ? [strictMtls(namespace)] : []),
  ]);
  await mesh.rollout(namespace);
  // If no answer arrives in time, as on a busy machine, only `direct` works under STRICT.
  const { fallback = options.strict && mode !== 'off' ? 'direct' : 'passthrough' } = options;
  await enableNamespace(mesh, namespace, mode, options.firstCall, undefined, undefined, fallback);
  if (mode === 'enforce') await untilNarrowed(mesh, namespace, clients);
  if (fallback === 'direct') await untilFallback(mesh, namespace, clients, fallback);
  if (mode === 'enforce' && targets > 0) await untilServed(mesh, namespace, target(targets - 1));
}

/** Changes the fallback of an enabled namespace; returns when the callers' filters have it. */
export async function setFallback(
  mesh: Mesh,
  namespace: string,
  callers: string[],
  fallback: Fallback,
): Promise<void> {
  const config = { fallback, directCidrs: ['10.96.0.0/16', '10.244.0.0/16'] };
  const patch = JSON.stringify({ spec: { pluginConfig: config } });
  // The check below sees only HTTP filters, so the TCP plugin is changed first.
  for (const plugin of ['lazyscope-tcp', 'lazyscope']) {
    const name = ['wasmplugin', plugin, '-n', namespace];
    await mesh.kubectl(['patch', ...name, '--type=merge', '-p', patch]);
  }
  await untilFallback(mesh, namespace, callers, fallback);
}

async function untilFallback(
  mesh: Mesh,
  namespace: string,
  callers: string[],
  fallback: Fallback,
): Promise<void> {
  for (const caller of callers) {
    const pod = await mesh.pod(namespace, `app=${caller}`);
    await mesh.waitFor(`fallback ${fallback} in ${caller}`, async () => {
      const dump = await mesh.admin(pod, '/config_dump?resource=ecds_filters');
      return new RegExp(`fallback\\W+${fallback}`).test(dump);
    });
  }
}

export async function deleteNamespaces(mesh: Mesh, ...names: string[]): Promise<void> {
  await mesh.kubectl(['delete', 'namespace', ...names, '--ignore-not-found', '--wait=false']);
}

type ScopeStatus = {
  hosts?: { host: string; reason: string }[];
  conditions?: { type: string; status: string; reason: string }[];
  proxies?: { total: number; reporting: number; scoped: number };
  clusters?: { before?: number; after?: number };
  memory?: { beforeBytes?: number; afterBytes?: number };
};

export async function scopeStatus(
  mesh: Mesh,
  namespace: string,
  name: string,
): Promise<ScopeStatus> {
  const scope = await mesh.get(['workloadscope', name, '-n', namespace]);
  return scope.status ?? {};
}

/** The expression for the cluster of a Service without pods, which only full configuration has. */
export const syntheticCluster = 'outbound\\|8080\\|\\|service-0\\.synthetic-0\\..*';

/**
 * Waits until the scope is written and the Envoys of these workloads have it: they have clusters of
 * our own, and none of the Services without pods. Throws if the mesh has no Services without pods.
 */
export async function untilNarrowed(mesh: Mesh, namespace: string, names: string[]): Promise<void> {
  const { items } = (await mesh.get(['namespaces'])) as { items: { metadata: PodRef }[] };
  if (!items.some(({ metadata }) => metadata.name.startsWith('synthetic-')))
    throw new Error(
      'nothing to narrow: start the mesh with services, as in `mesh -- up --services 50`',
    );
  for (const name of names) {
    const pod = await mesh.pod(namespace, `app=${name}`);
    await mesh.waitFor(`${namespace}/${name} to be narrowed`, async () => {
      if (!(await hasCluster(mesh, pod, 'lazyscope-(direct|unknown)'))) return false;
      if (await hasCluster(mesh, pod, syntheticCluster)) return false;
      return !(await clusterNames(mesh, pod)).some((cluster) => cluster.includes('synthetic-'));
    });
  }
}

/** The hosts that the Sidecar of a workload imports. */
export async function importedHosts(
  mesh: Mesh,
  namespace: string,
  name: string,
): Promise<string[]> {
  const sidecar = await mesh.get(['sidecar', `lazyscope-${name}`, '-n', namespace]);
  return sidecar.spec.egress.flatMap((egress: { hosts: string[] }) => egress.hosts);
}

async function missingTargets(
  mesh: Mesh,
  namespace: string,
  name: string,
  indices: number[],
  of: string,
): Promise<number[]> {
  const hosts = await importedHosts(mesh, namespace, name);
  return indices.filter((index) => !hosts.includes(entryOf(of, target(index))));
}

function requireNone(missing: number[]): true {
  if (missing.length > 0) throw new Error(`the scope lacks ${missing.map(target)}`);
  return true;
}

/** Waits until the scope of a workload has these targets, of its own or another namespace. */
export async function untilImported(
  mesh: Mesh,
  namespace: string,
  name: string,
  indices: number[],
  of = namespace,
): Promise<void> {
  await mesh.waitFor(`the scope of ${namespace}/${name}`, async () =>
    requireNone(await missingTargets(mesh, namespace, name, indices, of)),
  );
}

/**
 * Calls new targets, each once and with success, and waits until the scope has them.
 */
export async function learnTargets(
  mesh: Mesh,
  { namespace, name }: PodRef,
  workload: string,
  indices: number[],
  of = namespace,
): Promise<void> {
  for (const url of indices.map((index) => urlIn(of, index))) {
    const { status, error = '' } = await call(mesh, { namespace, name }, url);
    if (status !== 200) throw new Error(`${url} is answered ${status} ${error}`);
  }
  await untilImported(mesh, namespace, workload, indices, of);
}

/** Names of the clusters that a sidecar has. */
export async function clusterNames(mesh: Mesh, pod: PodRef): Promise<string[]> {
  const text = await mesh.admin(pod, '/clusters');
  return [...new Set(text.split('\n').map((line) => line.split('::')[0] ?? ''))].filter(Boolean);
}

/** Requests and connections of a sidecar to a cluster, and requests that timed out. */
export async function sentTo(mesh: Mesh, pod: PodRef, cluster: string) {
  const text = await mesh.admin(pod, '/clusters');
  const sum = (key: string) =>
    text
      .split('\n')
      .filter((line) => line.startsWith(`${cluster}::`) && line.includes(`::${key}::`))
      .reduce((total, line) => total + Number(line.split('::').at(-1)), 0);
  return {
    requests: sum('rq_total'),
    connections: sum('cx_total'),
    timeouts: sum('rq_timeout'),
  };
}

export const succeeded = (result: CallResult, identity: string) => ({
  status: result.status,
  error: result.error ?? '',
  sees: result.body?.peerIdentity === identity,
});
