/**
 * How often, and after what, a sidecar attempts an HTTP request again if no VirtualService says so.
 */
export type RetryPolicy = {
  /** Further attempts after the first, at least 1. */
  attempts: number;
  /** Envoy's conditions for any response, joined by commas; those of `everyRoute` are left out. */
  on: string;
  /** Envoy's conditions for responses of gRPC, joined by commas. */
  grpcOn: string;
  /** Status codes to which the condition `retriable-status-codes` applies, joined by commas. */
  codes: string;
  /** The longest time of one attempt in milliseconds; 0: no limit. */
  perTryMs: number;
};

/**
 * Conditions of the marker routes of manifests/namespace/envoyfilter.yaml. The server cannot have
 * received such a request, so it is repeated whatever the mesh says.
 */
const everyRoute = new Set(['connect-failure', 'refused-stream', 'reset-before-request']);

/** Names of Envoy's conditions (x-envoy-retry-on in its documentation of the router filter). */
const httpConditions = new Set([
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'envoy-ratelimited',
  'retriable-4xx',
  'refused-stream',
  'retriable-status-codes',
  'http3-post-connect-failure',
]);
const grpcConditions = new Set([
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
]);

/** From 100 to 599; Go's net/http, by which istiod judges, knows fewer than 70 of them. */
const statusCode = /^[1-5][0-9]{2}$/;
const codesMax = 100;

/** istiod's default (pilot/pkg/networking/core/route/retry/retry.go). */
const istioOn = 'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes';

export const istioRetries = readRetryPolicy(undefined) as RetryPolicy;

/**
 * Reads `defaultHttpRetryPolicy` of the mesh configuration as istiod does (retry.go,
 * ConvertPolicy); undefined: no attempt is repeated.
 */
export function readRetryPolicy(written: unknown): RetryPolicy | undefined {
  if (written === undefined || written === null) return policyOf(2, istioOn, 0);
  const { attempts, retryOn, perTryTimeout } = written as Record<string, unknown>;
  if (typeof attempts !== 'number' || !Number.isInteger(attempts) || attempts <= 0) {
    return undefined;
  }
  const conditions = typeof retryOn === 'string' && retryOn !== '' ? retryOn : istioOn;
  return policyOf(Math.min(attempts, attemptsMax), conditions, millisecondsOf(perTryTimeout));
}

/** The filter reads nine digits; nobody waits for so many attempts. */
const attemptsMax = 999_999_999;

function policyOf(attempts: number, conditions: string, perTryMs: number): RetryPolicy {
  const parts = [...new Set(conditions.split(',').map((part) => part.trim()))];
  const codes = parts.filter((part) => statusCode.test(part)).slice(0, codesMax);
  const on = parts.filter((part) => httpConditions.has(part) && !everyRoute.has(part));
  const byCode = 'retriable-status-codes';
  return {
    attempts,
    // The condition says nothing without codes, and istiod adds it where codes are written.
    on: [...on.filter((part) => part !== byCode), ...(codes.length > 0 ? [byCode] : [])].join(),
    grpcOn: parts.filter((part) => grpcConditions.has(part)).join(),
    codes: codes.join(),
    perTryMs,
  };
}

/** A duration as Protobuf writes it in JSON; 0 if it is none. */
function millisecondsOf(duration: unknown): number {
  const [, seconds] = /^([0-9]{1,5}(?:\.[0-9]{1,9})?)s$/.exec(String(duration ?? '')) ?? [];
  return seconds === undefined ? 0 : Math.ceil(Number(seconds) * 1000);
}
