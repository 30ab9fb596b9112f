import { gatewayLagMs } from './arrivals.ts';
import type { Mtls } from './mtls.ts';
import type { Resolution } from './resolve.ts';

/** What a namespace or scope may ask for. */
export const firstCalls = ['gateway', 'direct', 'hold', 'passthrough', 'auto'] as const;
export type FirstCall = (typeof firstCalls)[number];

/**
 * `plain`: to the address that the app called, in plain text, also where the outbound policy refuses
 * what the proxy does not know; `passthrough`: whatever that policy says.
 */
export type Strategy = 'gateway' | 'direct' | 'hold' | 'plain' | 'passthrough';

export type Decision = {
  strategy: Strategy;
  /** With `hold`: for a request that cannot be held, or was held for too long. */
  otherwise: Exclude<Strategy, 'hold'> | '';
  sni: string;
  identities: string[];
  ttlSeconds: number;
  reason: string;
};

/**
 * How long an answer holds, in seconds. It matters only while the call stays unknown: once a scope
 * is live, the real route is taken and no answer is looked at.
 *  - resolved: bounds how long the identities of the endpoints may be out of date;
 *  - unresolved: short, since a Service of that name or address may appear at any moment, and is often
 *    called before the watch has told of it;
 *  - empty: short, since a destination without endpoints is about to get some; also for one that
 *    is so new that the gateway is about to know it.
 */
export const answerTtlSeconds = { resolved: 60, unresolved: 5, empty: 5 } as const;

export type Call = {
  tcp: boolean;
  firstCall: FirstCall;
  callerNetwork: string;
  /** Whether the lazy egress gateway has an endpoint that takes connections. */
  gatewayReady: boolean;
  /** Milliseconds since the destination became reachable; infinite when that was long ago. */
  destinationAgeMs: number;
};

/** Chooses what happens to a first call (DESIGN section 2). */
export function chooseStrategy(call: Call, resolution: Resolution, mtls: Mtls): Decision {
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
    reason: `${why}; otherwise ${direct.strategy}: ${direct.reason}`,
  };
}

/** Why only the real route will do for this host, or undefined when another way keeps it whole. */
function holdReason(
  { firstCall }: Call,
  { kind, virtualServices, learnable, record, port }: Resolution,
  { ownTls }: Mtls,
): string | undefined {
  // The redirect leads to the real route only where a scope can bring it, and a request on a port
  // declared TCP has none: its connection would have to be opened anew.
  const isTcp = record?.ports.some((each) => each.port === port && each.protocol === 'tcp');
  if (!learnable || isTcp) return undefined;
  const [rule] = virtualServices;
  if (rule) return `VirtualService ${rule.namespace}/${rule.name} has rules for the host`;
  if (firstCall === 'passthrough') return undefined;
  if (kind === 'entry') return 'a ServiceEntry says how the host is reached';
  if (ownTls) return 'a DestinationRule sets TLS of its own';
  return firstCall === 'hold' ? 'hold is asked for' : undefined;
}

function withoutHold(call: Call, resolution: Resolution, mtls: Mtls): Decision {
  const isNew = call.destinationAgeMs < gatewayLagMs;
  const isSettled = !isNew && mtls.reason !== 'no endpoints';
  const ttl = isSettled ? answerTtlSeconds.resolved : answerTtlSeconds.empty;
  // Full configuration would let these through; an address that is not the host's it would not.
  const open = resolution.addressed ? 'plain' : 'passthrough';
  if (call.firstCall === 'passthrough') return plain(open, 'passthrough is asked for', ttl);
  if (!mtls.capable) return plain(open, mtls.reason, ttl);
  const { host, port, pod, record } = resolution;
  const here = [...mtls.networks].every((network) => network === call.callerNetwork);
  // A gateway would pick another pod than the one that was called by its address.
  const bound = pod !== undefined || record?.headless === true;
  // Only the gateway leads to another network; on this one, mTLS straight there does as well.
  const byGateway = !here || (call.firstCall === 'gateway' && call.gatewayReady && !isNew);
  const wanted = byGateway ? 'gateway' : 'direct';
  return {
    strategy: bound ? 'direct' : wanted,
    otherwise: '',
    sni: `outbound_.${port}_._.${host}`,
    identities: mtls.identities,
    ttlSeconds: ttl,
    reason: whyOf(call, bound, here),
  };
}

function whyOf(call: Call, bound: boolean, here: boolean): string {
  if (bound) return 'one pod is meant';
  if (!here) return 'endpoints are on another network';
  if (call.firstCall === 'gateway') {
    if (!call.gatewayReady) return 'the gateway has no ready endpoint';
    if (call.destinationAgeMs < gatewayLagMs) return 'the gateway may not know it yet';
  }
  return `setting ${call.firstCall}`;
}

function plain(strategy: 'plain' | 'passthrough', reason: string, ttlSeconds: number): Decision {
  return { strategy, otherwise: '', sni: '', identities: [], ttlSeconds, reason };
}
