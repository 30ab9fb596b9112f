import type { RetryPolicy } from '../mesh/retry-policy.ts';
import { gatewayLagMs } from './arrivals.ts';
import type { Mtls } from './mtls.ts';
import type { Resolution } from './resolve.ts';

/** Strategies that a namespace or scope may set. */
export const firstCalls = ['gateway', 'direct', 'hold', 'passthrough', 'auto'] as const;
export type FirstCall = (typeof firstCalls)[number];

/**
 * `plain`: in plain text to the address that the app called, even if the outbound policy refuses
 * unknown destinations. `passthrough`: the outbound policy decides.
 */
export type Strategy = 'gateway' | 'direct' | 'hold' | 'plain' | 'passthrough';

export type Decision = {
  strategy: Strategy;
  /** With `hold`: the strategy for a request that cannot be held or was held for too long. */
  otherwise: Exclude<Strategy, 'hold'> | '';
  sni: string;
  identities: string[];
  /**
   * After which responses the proxy repeats a request that the answer routes; undefined: after
   * none, because Istio would not, or because a VirtualService, which this route lacks, decides.
   */
  retries?: RetryPolicy | undefined;
  ttlSeconds: number;
  reason: string;
};

/**
 * Validity of an answer in seconds. It matters only while the call is unknown: once a scope is
 * live, the proxy takes the real route and ignores the answer.
 *  - resolved: bounds how long the identities of the endpoints may be out of date;
 *  - unresolved: short, because a Service with that name or address may appear at any moment, and
 *    is often called before the watch has reported it;
 *  - empty: short, because a destination without endpoints will probably get some soon; also used
 *    for a destination that is too new for the gateway to know;
 *  - held: shortest, because a hold that brings no route is ended (`afterHolds`).
 */
export const answerTtlSeconds = { resolved: 60, unresolved: 5, empty: 5, held: 1 } as const;

export type Call = {
  tcp: boolean;
  firstCall: FirstCall;
  callerNetwork: string;
  /** Whether the lazy egress gateway has an endpoint that accepts connections. */
  gatewayReady: boolean;
  /** Whether the gateway has a way to the destination (core/first-call/gateway.ts). */
  gatewayCarries: boolean;
  /** Whether hosts may have endpoints that this cluster does not know. */
  otherClusters: boolean;
  /** Whether a DestinationRule chooses the server by a hash of the request. */
  hashed: boolean;
  /** Milliseconds since the destination became reachable; infinite if that was long ago. */
  destinationAgeMs: number;
};

/** Chooses the strategy for a first call. */
export function chooseStrategy(call: Call, resolution: Resolution<unknown>, mtls: Mtls): Decision {
  if (resolution.kind === 'external') {
    return plain('passthrough', 'not a host of the mesh', answerTtlSeconds.unresolved);
  }
  const direct = withoutHold(call, resolution, mtls);
  const why = holdReason(call, resolution, mtls);
  if (!why || call.tcp) return direct;
  return {
    ...direct,
    strategy: 'hold',
    otherwise: direct.strategy as Decision['otherwise'],
    ttlSeconds: answerTtlSeconds.held,
    reason: `${why}; otherwise ${direct.strategy}: ${direct.reason}`,
  };
}

/**
 * Two holds of the default two seconds, and one more second. A route that has not arrived by then
 * is unlikely to arrive, and each further request would wait in vain.
 */
export const holdsInVainMs = 5_000;

/**
 * The decision for a host that was imported `importedMs` ago: after `holdsInVainMs` without a
 * route, requests are no longer held but take the `otherwise` strategy.
 */
export function afterHolds(decision: Decision, importedMs: number): Decision {
  const { strategy, otherwise, reason } = decision;
  if (strategy !== 'hold' || otherwise === '' || importedMs < holdsInVainMs) return decision;
  return {
    ...decision,
    strategy: otherwise,
    otherwise: '',
    ttlSeconds: answerTtlSeconds.empty,
    reason: `no route after ${Math.floor(importedMs / 1000)} s; ${reason}`,
  };
}

/**
 * The reason why only the real route serves this host fully; undefined if another strategy does so.
 */
function holdReason(call: Call, resolution: Resolution<unknown>, mtls: Mtls): string | undefined {
  const { kind, virtualServices, learnable, record, port } = resolution;
  const { speech, reason } = mtls;
  // Holding a request helps only if a scope can bring its real route. A port that is declared as
  // TCP has no route: the app would have to open the connection again.
  const isTcp = record?.ports.some((each) => each.port === port && each.protocol === 'tcp');
  if (!learnable || isTcp) return undefined;
  const [rule] = virtualServices;
  if (rule) return `${rule.madeFrom} ${rule.namespace}/${rule.name} has rules for the host`;
  if (call.firstCall === 'passthrough') return undefined;
  if (kind === 'entry') return 'a ServiceEntry defines how the host is reached';
  if (speech === 'own' || speech === 'tunnel') return reason;
  if (call.hashed) return 'a DestinationRule chooses the server by a hash';
  // The gateway leaves out servers that refuse mutual TLS. Without the gateway, a call may reach
  // any endpoint.
  if (speech === 'mixed' && !leadsByGateway(call)) return reason;
  if (!isDialled(resolution, mtls) && (speech === 'plain' || !leadsByGateway(call))) {
    return elsewhere;
  }
  return call.firstCall === 'hold' ? 'setting hold' : undefined;
}

function withoutHold(call: Call, resolution: Resolution<unknown>, mtls: Mtls): Decision {
  const isNew = call.destinationAgeMs < gatewayLagMs;
  const isSettled = !isNew && mtls.speech !== 'nobody';
  const ttl = isSettled ? answerTtlSeconds.resolved : answerTtlSeconds.empty;
  // Full configuration lets a call to an address of the host through. For a call to another
  // address, the outbound policy decides.
  const open = resolution.addressed ? 'plain' : 'passthrough';
  if (call.firstCall === 'passthrough') return plain(open, 'setting passthrough', ttl);
  const way = wayOf(call, resolution, mtls);
  if (!way) return plain(open, mtls.reason, ttl);
  const { host, port } = resolution;
  return {
    strategy: way.strategy,
    otherwise: '',
    sni: `outbound_.${port}_._.${host}`,
    // The gateway may choose a server of another cluster, with another service account.
    identities: way.strategy === 'gateway' && call.otherClusters ? [] : mtls.identities,
    ttlSeconds: ttl,
    reason: way.reason,
  };
}

type Way = { strategy: 'gateway' | 'direct'; reason: string };

/** How mutual TLS reaches the destination; undefined if the destination does not use it. */
function wayOf(call: Call, resolution: Resolution<unknown>, mtls: Mtls): Way | undefined {
  const { speech, networks } = mtls;
  const { pod, record } = resolution;
  // The gateway would choose another pod than the called pod.
  const bound = pod !== undefined || record?.headless === true;
  if (speech === 'nobody') {
    // This cluster has no server, but another cluster that the gateway knows may have one.
    if (bound || record?.kind !== 'service' || !leadsByGateway(call)) return undefined;
    return { strategy: 'gateway', reason: 'only another cluster may have endpoints' };
  }
  if (speech === 'plain') return undefined;
  const direct = (reason: string): Way => ({ strategy: 'direct', reason });
  // The server refuses this mutual TLS. A refused call is better than readable plain text.
  if (speech === 'own' || speech === 'tunnel') return direct(`${mtls.reason}; never in plain text`);
  if (!isDialled(resolution, mtls) && leadsByGateway(call)) {
    return { strategy: 'gateway', reason: elsewhere };
  }
  if (bound) return direct('the call is for one pod');
  if (record?.nodeLocal)
    return direct('internalTrafficPolicy Local: only endpoints on the node of the caller');
  // Only the gateway reaches another network. On the caller's network, direct mTLS is as good.
  const here = [...networks].every((network) => network === call.callerNetwork);
  if (!here && call.gatewayCarries) {
    return { strategy: 'gateway', reason: 'endpoints are on another network' };
  }
  if (speech === 'mixed' && leadsByGateway(call)) {
    return { strategy: 'gateway', reason: `${mtls.reason}; the gateway leaves it out` };
  }
  if (call.firstCall !== 'gateway') return direct(`setting ${call.firstCall}`);
  if (!call.gatewayReady) return direct('the gateway has no ready endpoint');
  if (!call.gatewayCarries) return direct('the gateway does not know the host');
  if (call.destinationAgeMs < gatewayLagMs) return direct('the gateway may not know the host yet');
  return { strategy: 'gateway', reason: `setting ${call.firstCall}` };
}

const elsewhere = 'the app called an address that the host does not have';

/** Whether a connection to the address that the app called ends at a server of the host. */
function isDialled(
  { kind, addressed, ip, record }: Resolution<unknown>,
  { addresses }: Mtls,
): boolean {
  return kind === 'entry' ? record?.anyAddress === true || addresses.has(ip) : addressed;
}

function leadsByGateway({ gatewayReady, gatewayCarries, destinationAgeMs }: Call): boolean {
  return gatewayReady && gatewayCarries && destinationAgeMs >= gatewayLagMs;
}

function plain(strategy: 'plain' | 'passthrough', reason: string, ttlSeconds: number): Decision {
  return { strategy, otherwise: '', sni: '', identities: [], ttlSeconds, reason };
}
