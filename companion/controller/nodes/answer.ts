import type { Client } from '../../core/first-call/destination-rule.ts';
import { isCarried } from '../../core/first-call/gateway.ts';
import { type MeshNames, type Mtls, mtlsOf, without } from '../../core/first-call/mtls.ts';
import { type Resolution, resolve, type UnknownCall } from '../../core/first-call/resolve.ts';
import {
  afterHolds,
  answerTtlSeconds,
  chooseStrategy,
  type Decision,
  type FirstCall,
} from '../../core/first-call/strategy.ts';
import { selects } from '../../core/mesh/label-selector.ts';
import type { PodRecord } from '../../core/mesh/pod-record.ts';
import type { HostRecord } from '../../core/mesh/records.ts';
import type { HostRef } from '../../core/scope/edges.ts';
import { entryOf } from '../../core/scope/hosts.ts';
import { admits, foreignSidecar, shadowedSidecar, sidecarName } from '../../core/scope/sidecar.ts';
import type { Workload } from '../../core/scope/workload.ts';
import { isExcluded } from '../../core/scope/workload-scope.ts';
import type { State } from '../state/state.ts';
import { modeOf } from '../state/workload-mode.ts';

export type AnswerConfig = MeshNames & {
  clusterDomain: string;
  firstCall: FirstCall;
  gatewayHost: string;
};

export type Answered = Decision & {
  /**
   * The entry that the caller's scope must import for this call; undefined if that would not help.
   */
  learn: HostRef | undefined;
  /** 0 while the host is not in the scope. */
  millisecondsSinceScopeWritten: number;
  /** The entry that has been in the scope for long enough but brought no route; undefined: none. */
  routeless?: string | undefined;
};

export type Asker = { namespace: string; pod: PodRecord | undefined };

/** Decides about a first call from this replica's state, without waiting. */
export function answer(
  state: State,
  config: AnswerConfig,
  { namespace, pod }: Asker,
  call: UnknownCall,
  now: number,
): Answered {
  const resolution = resolve(state.catalog, call, {
    namespace,
    clusterDomain: config.clusterDomain,
  });
  const workload = pod && state.workloadOf(pod);
  const scope = workload && state.scopes.get(namespace, workload.name);
  const host = hostRefOf(resolution);
  const { port } = resolution;
  const barred = host && barrier(state, config, { namespace, workload, now }, { ...host, port });
  if (barred) return { ...passthrough(barred), learn: undefined };

  const mode = workload ? modeOf(state, workload) : state.namespaces.get(namespace)?.mode;
  const learn =
    resolution.learnable && host && !isExcluded(scope, host) && (mode ?? 'off') !== 'off'
      ? host
      : undefined;
  if (!mayBeNarrowed(state, { namespace, pod, workload }, now)) {
    // Short, because a scope may come into force at any moment.
    const ttlSeconds = answerTtlSeconds.empty;
    return { ...passthrough('no scope is in force: Istio decides'), ttlSeconds, learn };
  }
  const decision = chooseStrategy(
    {
      tcp: call.tcp,
      firstCall: scope?.firstCall ?? state.namespaces.get(namespace)?.firstCall ?? config.firstCall,
      callerNetwork: pod?.network ?? '',
      gatewayReady: isReady(state, config.gatewayHost),
      otherClusters: hasOtherClusters(state.catalog, namespace),
      gatewayCarries: isCarriedByGateway(state, config, resolution),
      destinationAgeMs: ageOf(state, resolution, now),
    },
    // A request is held only for a scope that is about to come.
    { ...resolution, learnable: learn !== undefined && mode === 'enforce' },
    mtlsOfResolution(state, config, { namespace, labels: pod?.labels ?? {} }, resolution),
  );
  const since =
    workload && host && state.imports.since(namespace, sidecarName(workload), entryOf(host));
  const importedMs = since === undefined ? 0 : Math.max(1, now - since);
  const decided = afterHolds(decision, importedMs);
  return {
    ...decided,
    learn,
    millisecondsSinceScopeWritten: importedMs,
    ...(decided !== decision && host && { routeless: entryOf(host) }),
  };
}

/**
 * Proxies of the namespace have reported Services of other clusters, or there are other networks.
 */
function hasOtherClusters(catalog: State['catalog'], namespace: string): boolean {
  if (catalog.hasOtherNetworks()) return true;
  for (const record of catalog.farHosts()) if (catalog.isVisible(record, namespace)) return true;
  return false;
}

function isReady({ catalog }: State, host: string): boolean {
  return catalog.hosts.exact(host).some((record) => catalog.isReachable(nameOf(record)));
}

/** Only Services come and go with their pods; a ServiceEntry is held for, or goes another way. */
function ageOf({ arrivals }: State, { record }: Resolution, now: number): number {
  return record?.kind === 'service'
    ? arrivals.ageMs(nameOf(record), now)
    : Number.POSITIVE_INFINITY;
}

function nameOf({ namespace, name }: HostRecord): string {
  return `${namespace}/${name}`;
}

/**
 * The entry that a scope needs for a call; a host of VirtualServices only is in their namespace.
 */
function hostRefOf({ host, record, virtualServices }: Resolution): HostRef | undefined {
  const namespace = record?.namespace ?? virtualServices[0]?.namespace;
  return namespace === undefined ? undefined : { namespace, host };
}

function mtlsOfResolution(
  { catalog }: State,
  config: AnswerConfig,
  client: Client,
  { record, port, pod }: Resolution,
): Mtls {
  if (record) return mtlsOf(catalog, { record, port, pod }, client, config);
  return without('plain', 'no service behind the host');
}

function isCarriedByGateway(
  { catalog }: State,
  config: AnswerConfig,
  { record, port }: Resolution,
): boolean {
  return record !== undefined && isCarried(catalog, { record, port }, config.gatewayHost, config);
}

/**
 * Whether a scope may hide something from the caller's proxy. With full configuration, a call that
 * the proxy does not know is unknown to Istio too and must stay so: observing must change nothing.
 */
function mayBeNarrowed(
  { sidecars, imports }: State,
  { namespace, pod, workload }: Asker & { workload: Workload | undefined },
  now: number,
): boolean {
  // Also by the Sidecar of a renamed workload; by any Sidecar while the pod is unknown.
  const selected = [...sidecars.in(namespace)].some(
    ({ ours, selector = {} }) => ours && (!pod || selects(selector, pod.labels)),
  );
  return (
    selected || (workload && imports.wasInForce(namespace, sidecarName(workload), now)) === true
  );
}

/** A user's Sidecar excludes this host: return the reason, so that the call is passed through. */
function barrier(
  { sidecars, imports, catalog }: State,
  { rootNamespace }: AnswerConfig,
  { namespace, workload, now }: { namespace: string; workload: Workload | undefined; now: number },
  host: HostRef & { port: number },
): string | undefined {
  const inNamespace = [...sidecars.in(namespace)];
  const foreign = workload && foreignSidecar(inNamespace, workload);
  // While proxies have Lazyscope's scope, an unknown call says nothing about the other Sidecar.
  const isOurs = workload && imports.wasInForce(namespace, sidecarName(workload), now);
  if (foreign && !isOurs) return `Sidecar ${foreign.name} applies to the workload`;
  const shadowed = shadowedSidecar(
    [...inNamespace, ...sidecars.in(rootNamespace)],
    workload ?? { namespace, pods: [...catalog.podsIn(namespace)] },
    rootNamespace,
  );
  if (admits(shadowed, entryOf(host), namespace, host.port)) return undefined;
  return `default Sidecar ${shadowed?.namespace}/${shadowed?.name} does not import the host`;
}

function passthrough(reason: string): Omit<Answered, 'learn'> {
  return {
    strategy: 'passthrough',
    otherwise: '',
    sni: '',
    identities: [],
    ttlSeconds: answerTtlSeconds.resolved,
    reason,
    millisecondsSinceScopeWritten: 0,
  };
}
