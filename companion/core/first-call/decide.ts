import type { PodRecord } from '../mesh/pod-record.ts';
import type { HostRecord } from '../mesh/records.ts';
import type { RetryPolicy } from '../mesh/retry-policy.ts';
import { type Client, isHashed } from './destination-rule.ts';
import { mtlsOf, type ServersView, without } from './mtls.ts';
import { type Registry, type Resolution, resolve, type UnknownCall } from './resolve.ts';
import { answerTtlSeconds, chooseStrategy, type Decision, type FirstCall } from './strategy.ts';

/**
 * The mesh as a first call sees it. A controller makes it from its catalog, a node companion from
 * the compact records that a controller sent.
 */
export type MeshView<Pod = PodRecord> = ServersView<Pod> & {
  registry: Registry<Pod>;
  clusterDomain: string;
  /** Whether the lazy egress gateway has a ready endpoint. */
  isGatewayReady(): boolean;
  /** Whether the gateway has a way to the host (gateway.ts). */
  isCarried(record: HostRecord, port: number): boolean;
  /**
   * Whether hosts that a namespace sees may have endpoints that this cluster does not know.
   */
  hasOtherClusters(from: string): boolean;
  /** The mesh's retry policy for the sidecars of a namespace; undefined: they repeat nothing. */
  retriesIn(from: string): RetryPolicy | undefined;
  /** Milliseconds since the host became reachable; infinite if that was long ago. */
  ageMs(record: HostRecord): number;
};

type Host = { namespace: string; host: string };

/** The pod that calls, and the settings that apply to it. */
export type Caller = Client & {
  /** Empty for the default network. */
  network: string;
  firstCall: FirstCall;
  /** Why the caller's own configuration excludes a port of a host; undefined if it does not. */
  barrier(host: Host & { port: number }): string | undefined;
  /** Whether calls to the host are learned. */
  mayLearn(host: Host): boolean;
  /** A learned host is imported soon, so that a request can be held for it. */
  imports: boolean;
  /** A scope may hide hosts from the caller's proxy. */
  isNarrowed: boolean;
};

export type Decided<Pod> = Decision & {
  resolution: Resolution<Pod>;
  /** The host to import for this call; undefined if importing it would not help. */
  learn: Host | undefined;
  /** The host whose import gives the call its real route; undefined if none does. */
  awaited: Host | undefined;
};

/** Decides about a first call: where it belongs, and how it gets there. */
export function decide<Pod>(view: MeshView<Pod>, caller: Caller, call: UnknownCall): Decided<Pod> {
  const { namespace } = caller;
  const resolution = resolve(view.registry, call, {
    namespace,
    clusterDomain: view.clusterDomain,
  });
  const { record, port } = resolution;
  const host = hostOf(resolution);
  const barred = host && caller.barrier({ ...host, port });
  if (barred) {
    const decision = passthrough(barred, answerTtlSeconds.resolved);
    return { ...decision, resolution, learn: undefined, awaited: undefined };
  }
  const learn = resolution.learnable && host && caller.mayLearn(host) ? host : undefined;
  if (!caller.isNarrowed) {
    // Short, because a scope may come into force at any moment.
    const decision = passthrough('no scope is in force: Istio decides', answerTtlSeconds.empty);
    return { ...decision, resolution, learn, awaited: undefined };
  }
  const decision = chooseStrategy(
    {
      tcp: call.tcp,
      firstCall: caller.firstCall,
      callerNetwork: caller.network,
      gatewayReady: view.isGatewayReady(),
      otherClusters: view.hasOtherClusters(namespace),
      gatewayCarries: record !== undefined && view.isCarried(record, port),
      // The client of a headless Service chooses the server itself.
      hashed:
        record?.headless === false && isHashed(view.clientRules(record, namespace), port, caller),
      destinationAgeMs: record ? view.ageMs(record) : Number.POSITIVE_INFINITY,
    },
    // A request is held only for a scope that is about to come.
    { ...resolution, learnable: learn !== undefined && caller.imports },
    record
      ? mtlsOf(view, { record, port, pod: resolution.pod }, caller)
      : without('plain', 'no service behind the host'),
  );
  const isRouted = !call.tcp && record !== undefined && decision.strategy !== 'passthrough';
  const isRuled = resolution.virtualServices.length > 0;
  const retries = isRouted && !isRuled ? view.retriesIn(namespace) : undefined;
  return { ...decision, ...(retries && { retries }), resolution, learn, awaited: host };
}

/**
 * The entry that a scope needs for a call; a host of VirtualServices only is in their namespace.
 */
function hostOf({ host, record, virtualServices }: Resolution<unknown>): Host | undefined {
  const namespace = record?.namespace ?? virtualServices[0]?.namespace;
  return namespace === undefined ? undefined : { namespace, host };
}

function passthrough(reason: string, ttlSeconds: number): Decision {
  return { strategy: 'passthrough', otherwise: '', sni: '', identities: [], ttlSeconds, reason };
}
