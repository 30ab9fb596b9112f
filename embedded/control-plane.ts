import type { KubeObject } from '../companion/kube/object.ts';
import type { Ports } from './clusters.ts';
import type { Distributor } from './file-sink.ts';
import type { Placed } from './objects.ts';
import type { EnvoyProxy } from './proxy.ts';
import type { ShippedPatches } from './shipped-patches.ts';
import { sidecarConfiguration } from './sidecar-config.ts';

/**
 * Simulates istiod: knows the services and the scopes, and derives the configuration of each
 * sidecar.
 */
export type ControlPlane = Distributor & {
  /**
   * Adds a sidecar whose workload has this label `app`. Resolves when the sidecar has its
   * configuration.
   */
  add(
    proxy: EnvoyProxy,
    workload: { namespace: string; app: string; nodePort: number },
  ): Promise<void>;
  /** Calls `run` while no update is in flight, and delays other updates. */
  alone<Result>(run: () => Promise<Result>): Promise<Result>;
};

export type ControlPlaneOptions = {
  services: readonly Placed[];
  patches: ShippedPatches;
  ports: Omit<Ports, 'node'>;
};

type Member = { proxy: EnvoyProxy; namespace: string; app: string; nodePort: number };

export function createControlPlane({
  services,
  patches,
  ports,
}: ControlPlaneOptions): ControlPlane {
  const members: Member[] = [];
  /** Sidecars by the label `app` that they select. */
  const scopes = new Map<string, KubeObject>();
  let sentinel: KubeObject | undefined;
  let queue: Promise<unknown> = Promise.resolve();

  function alone<Result>(run: () => Promise<Result>): Promise<Result> {
    const turn = queue.then(run);
    queue = turn.catch(() => undefined);
    return turn;
  }

  async function push({ proxy, namespace, app, nodePort }: Member): Promise<void> {
    await proxy.configure(
      sidecarConfiguration({
        namespace,
        services,
        sidecar: scopes.get(app),
        sentinel,
        ports: { ...ports, node: nodePort },
        secrets: proxy.secrets,
        patches,
        outboundPort: 0,
        routesFile: proxy.files.routesFile,
      }),
    );
  }

  /** All or nothing: if one sidecar refuses, all sidecars get the previous configuration again. */
  async function change(concerned: Member[], apply: () => () => void): Promise<void> {
    const undo = apply();
    try {
      for (const member of concerned) await push(member);
    } catch (error) {
      undo();
      for (const member of concerned) await push(member).catch(() => undefined);
      throw error;
    }
  }

  function setScope(app: string, sidecar: KubeObject | undefined): () => void {
    const before = scopes.get(app);
    const put = (value: KubeObject | undefined) =>
      value ? scopes.set(app, value) : scopes.delete(app);
    put(sidecar);
    return () => void put(before);
  }

  function setSentinel(entry: KubeObject | undefined): () => void {
    const before = sentinel;
    sentinel = entry;
    return () => {
      sentinel = before;
    };
  }

  function distribute(object: KubeObject, value: KubeObject | undefined): Promise<void> {
    return alone(async () => {
      if (object.kind === 'ServiceEntry') return change(members, () => setSentinel(value));
      const app = appOf(object);
      const concerned = members.filter((member) => member.app === app);
      return change(concerned, () => setScope(app, value));
    });
  }

  return {
    alone,
    distribute: (object) => distribute(object, object),
    withdraw: (object) => distribute(object, undefined),
    add: (proxy, workload) =>
      alone(async () => {
        const member = { proxy, ...workload };
        members.push(member);
        await push(member);
      }),
  };
}

function appOf({ spec }: KubeObject): string {
  return String(spec.workloadSelector?.labels?.app ?? '');
}
