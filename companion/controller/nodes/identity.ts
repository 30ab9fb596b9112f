import { status } from '@grpc/grpc-js';
import type { Kube } from '../../kube/object.ts';

/** Why a stream is refused or ended. */
export class StreamRefusal extends Error {
  readonly code: status;
  readonly reason: string;
  constructor(code: status, reason: string, detail: string) {
    super(detail);
    this.code = code;
    this.reason = reason;
  }
}

/**
 * The identity of a node companion, and the expiry of its token in milliseconds since the epoch.
 */
export type NodeIdentity = { node: string; expiresAt: number };

export type IdentifyOptions = {
  kube: Pick<Kube, 'tokenReview'>;
  /** The namespace that node companions run in. */
  namespace: string;
  /** The node that a pod of that namespace runs on, as the API server has it. */
  nodeOfPod(name: string): string | undefined;
  now: () => number;
};

const audience = 'lazyscope';
/**
 * The claims of a bound token about its pod; the node since Kubernetes 1.30
 * (pkg/serviceaccount/claims.go).
 */
const nodeNameKey = 'authentication.kubernetes.io/node-name';
const podNameKey = 'authentication.kubernetes.io/pod-name';

/** For a token without an expiry, or with an expiry in years. */
const trustedMsMax = 3_600_000;
/**
 * The API server has just accepted it: if this clock is ahead, it must not end every stream at
 * once.
 */
const trustedMsMin = 60_000;

/**
 * Asks the API server for the owner of a token. Throws a StreamRefusal unless it is a node
 * companion.
 */
export async function identify(options: IdentifyOptions, token: string): Promise<NodeIdentity> {
  const { kube, namespace, nodeOfPod, now } = options;
  const review = await kube.tokenReview(token, [audience]);
  if (!review.authenticated) {
    throw new StreamRefusal(
      status.UNAUTHENTICATED,
      'bad token',
      review.error ?? 'not authenticated',
    );
  }
  const wanted = `system:serviceaccount:${namespace}:lazyscope-node`;
  if (review.username !== wanted) {
    const detail = `${review.username}: only ${wanted} may connect`;
    throw new StreamRefusal(status.PERMISSION_DENIED, 'wrong account', detail);
  }
  const pod = review.extra?.[podNameKey]?.[0];
  const node = review.extra?.[nodeNameKey]?.[0] ?? (pod && nodeOfPod(pod));
  if (!node) {
    // A client that may request tokens of the account could otherwise report for every node.
    const detail = `pod ${pod ?? 'none'}: the token is not bound to a node; use a projected one`;
    throw new StreamRefusal(status.PERMISSION_DENIED, 'unbound token', detail);
  }
  return { node, expiresAt: expiryOf(token, now()) };
}

/** The claim `exp` of a JSON web token (RFC 7519) that the API server has verified. */
function expiryOf(token: string, now: number): number {
  const latest = now + trustedMsMax;
  try {
    const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString();
    const seconds: unknown = JSON.parse(payload).exp;
    if (typeof seconds !== 'number') return latest;
    return Math.min(latest, Math.max(now + trustedMsMin, seconds * 1000));
  } catch {
    return latest;
  }
}
