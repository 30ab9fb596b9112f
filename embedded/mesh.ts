import type { Logger } from 'pino';
import type { Answer, Question } from '../companion/contract/rpc.ts';
import { issue, type KeyPair, makeCa } from '../companion/controller/nodes/x509.ts';
import type { FirstCall } from '../companion/core/first-call/strategy.ts';
import type { Mode } from '../companion/core/scope/condition.ts';
import { modeLabel } from '../companion/core/scope/condition.ts';
import type { ControllerConfig } from '../companion/frame/config.ts';
import { createLifecycle, type Lifecycle } from '../companion/frame/lifecycle.ts';
import type { KubeObject } from '../companion/kube/object.ts';
import { type App, createApp } from './app-call.ts';
import { startBackend } from './backends.ts';
import { type ControlPlane, createControlPlane } from './control-plane.ts';
import { ensureEnvoy } from './envoy-binary.ts';
import { createFileSink } from './file-sink.ts';
import { createNetwork, type Network, startAppProxy, startKubeProxy } from './network.ts';
import {
  backendIdentity,
  backendPod,
  clusterDomain,
  gatewayHost,
  gatewayObjects,
  identityOf,
  namespaceObject,
  type Placed,
  place,
  podObject,
  serviceObjects,
  systemNamespace,
  trustDomain,
} from './objects.ts';
import { createProxy, type EnvoyProxy } from './proxy.ts';
import { type Reaper, startReaper } from './reaper.ts';
import { createRegistry, type Registry } from './registry.ts';
import { type Roles, startRoles } from './roles.ts';
import type { Service } from './services.ts';
import { readShippedPatches } from './shipped-patches.ts';
import { gatewayConfiguration } from './sidecar-config.ts';

/**
 * A whole mesh in a few processes of one user, without any installation. The imports show its
 * parts.
 */
export type Mesh = Pick<Roles, 'openPage'> & {
  sidecar(name: string): Sidecar;
  gateway: EnvoyProxy;
  services: readonly Placed[];
  /** The objects that an API server would hold: scopes, Sidecars, namespaces. */
  registry: Registry;
  /** Sets the strategy for the first calls of a workload; resolves when its node knows it. */
  setFirstCall(workload: string, strategy: FirstCall): Promise<void>;
  /** Replaces the Envoy of a workload by one with the same configuration, as for a new pod. */
  restart(workload: string): Promise<void>;
  /** Rejects when a process of the mesh ends by itself; never resolves. */
  broken: Promise<never>;
  stop(): Promise<void>;
};

export type Sidecar = {
  proxy: EnvoyProxy;
  app: App;
  /** The port of an HTTP proxy that calls as the app would. */
  appPort: number;
};

export type MeshOptions = {
  services: readonly Service[];
  /** Workloads of namespace `shop`, each one pod with a sidecar. */
  workloads: readonly { name: string; mode: Exclude<Mode, 'off'> }[];
  log: Logger;
  settings?: Partial<ControllerConfig>;
  /** The controller answered a question of a filter about a first call. */
  onAnswer?(question: Question, answer: Answer): void;
};

/** Two backends have two identities, so that a wrong identity is noticed. */
const backendsCount = 2;
export const namespace = 'shop';
const stopMs = 20_000;
const validity = { notBefore: new Date(Date.now() - 3_600_000), days: 365 };

/** Starts everything. If a part fails to start, stops and removes all others. */
export async function startMesh(options: MeshOptions): Promise<Mesh> {
  await ensureEnvoy();
  const reaper = await startReaper();
  const lifecycle = createLifecycle({ log: options.log, deadlineMs: stopMs });
  const stop = async () => {
    await lifecycle.stop('asked to');
    await reaper.finish();
  };
  try {
    const mesh = await assemble({ ...options, reaper, lifecycle });
    return { ...mesh, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

type Assembly = MeshOptions & { reaper: Reaper; lifecycle: Lifecycle };

async function assemble(options: Assembly): Promise<Omit<Mesh, 'stop'>> {
  const { lifecycle, reaper, log, settings = {} } = options;
  const { broken, onEnd } = createBreakage();
  const ca = makeCa(trustDomain, validity);
  const services = place(options.services, backendsCount);
  const backends = await startBackends(options, ca, onEnd);
  const kubeProxy = await startKubeProxy(services, backends);
  lifecycle.onStop('kube-proxy', kubeProxy.stop);

  const proxyOf = (name: string, keys: KeyPair) =>
    createProxy({
      name,
      keys,
      node: { id: `sidecar~127.0.0.1~${name}.${namespace}~${clusterDomain}`, cluster: name },
      ca: ca.certificate,
      reaper,
      onEnd,
    });
  const gateway = await proxyOf('egress', issue(ca, { name: 'egress' }, validity));
  lifecycle.onStop('gateway', gateway.stop);
  await gateway.configure(gatewayConfiguration(services, { backends }, 0));
  await gateway.start();

  const registry = createRegistry();
  for (const object of objectsOf(services)) registry.put(object);
  const patches = readShippedPatches();
  for (const plugin of Object.values(patches.plugins)) plugin.flushSeconds = 1;
  const controlPlane = createControlPlane({
    services,
    patches,
    ports: { gateway: gateway.listenerPort('0.0.0.0_15443'), kubeProxy: kubeProxy.port, backends },
  });
  const sink = createFileSink(registry, controlPlane, log);
  const fixed = { namespace: systemNamespace, gatewayHost, clusterDomain, trustDomain };
  const roles = await startRoles({
    registry,
    sink,
    log,
    lifecycle,
    settings: { ...settings, ...fixed },
    onAnswer: options.onAnswer ?? (() => undefined),
  });
  const network = createNetwork(services);
  const sidecars = new Map<string, Sidecar>();
  for (const [index, { name, mode }] of options.workloads.entries()) {
    const proxy = await proxyOf(name, issue(ca, identity(name), validity));
    const found = { registry, roles, controlPlane, network, lifecycle, proxy };
    sidecars.set(name, await startSidecar(found, { name, mode, ip: `10.244.0.${index + 10}` }));
  }
  const sidecar = (name: string) => {
    const found = sidecars.get(name);
    if (!found) throw new Error(`no workload ${name}`);
    return found;
  };
  return {
    sidecar,
    restart: (name) => controlPlane.alone(sidecar(name).proxy.start),
    gateway,
    services,
    registry,
    openPage: roles.openPage,
    setFirstCall(workload, firstCall) {
      setSpec(registry, workload, { firstCall });
      return roles.settled();
    },
    broken,
  };
}

const identity = (name: string) => ({ name, uri: identityOf(namespace, name) });

/** The first process that ends by itself breaks the mesh. */
function createBreakage(): { broken: Promise<never>; onEnd(error: Error): void } {
  let fail: (error: Error) => void = () => undefined;
  const broken = new Promise<never>((_, reject) => {
    fail = reject;
  });
  // A waiting caller gets the error; without one, the rejection must not end the process.
  broken.catch(() => undefined);
  return { broken, onEnd: fail };
}

async function startBackends(
  { reaper, lifecycle }: Assembly,
  ca: KeyPair,
  onEnd: (error: Error) => void,
): Promise<number[]> {
  const starting = Array.from({ length: backendsCount }, async (_, index) => {
    const name = `backend-${index}`;
    const keys = issue(ca, { name, uri: backendIdentity(index) }, validity);
    const backend = await startBackend(name, keys, ca.certificate, reaper);
    lifecycle.onStop(name, backend.stop);
    void backend.ended.then((how) => onEnd(new Error(`the process ${name} ${how}`)));
    return backend.port;
  });
  return Promise.all(starting);
}

function objectsOf(services: readonly Placed[]): KubeObject[] {
  const others = new Set(services.map((each) => each.namespace).filter((ns) => ns !== namespace));
  return [
    ...Array.from({ length: backendsCount }, (_, index) => backendPod(index)),
    ...services.flatMap(serviceObjects),
    ...gatewayObjects(),
    namespaceObject(systemNamespace),
    ...[...others].map((name) => namespaceObject(name)),
    namespaceObject(namespace, { [modeLabel]: 'enforce' }),
  ];
}

type Surroundings = {
  registry: Registry;
  roles: Roles;
  controlPlane: ControlPlane;
  network: Network;
  lifecycle: Lifecycle;
  proxy: EnvoyProxy;
};

async function startSidecar(
  { registry, roles, controlPlane, network, lifecycle, proxy }: Surroundings,
  { name, mode, ip }: { name: string; mode: Mode; ip: string },
): Promise<Sidecar> {
  setSpec(registry, name, { mode, selector: { matchLabels: { app: name } } });
  const nodePort = await roles.startNodeOf({ name, statsPort: () => proxy.envoy().adminPort });
  await controlPlane.add(proxy, { namespace, app: name, nodePort });
  // Every node companion here has one pod, so all pods can share this source address.
  registry.put(podObject({ namespace, name, ip: '127.0.0.1' }));
  lifecycle.onStop(`sidecar ${name}`, proxy.stop);
  await controlPlane.alone(proxy.start);
  const sidecarPort = () => proxy.listenerPort('virtualOutbound');
  const at = { namespace, ip, sidecarPort };
  const app = createApp(network, at);
  lifecycle.onStop(`app ${name}`, app.stop);
  const appProxy = await startAppProxy(network, at);
  lifecycle.onStop(`app proxy ${name}`, appProxy.stop);
  return { proxy, app, appPort: appProxy.port };
}

/** Edits a WorkloadScope as its user would. */
function setSpec(registry: Registry, name: string, spec: Record<string, unknown>): void {
  const before = registry.get('WorkloadScope', namespace, name);
  registry.put({
    apiVersion: 'lazyscope.io/v1alpha1',
    kind: 'WorkloadScope',
    metadata: { namespace, name },
    ...before,
    spec: { ...before?.spec, ...spec },
  });
}
