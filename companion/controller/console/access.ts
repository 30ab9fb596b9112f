import { createHash } from 'node:crypto';
import { createRateLimit } from '../../bounds/rate.ts';
import type { Kube } from '../../kube/object.ts';
import type { ControllerMetrics } from '../metrics.ts';

/** The namespaces whose WorkloadScopes a user may list. */
export type Access = { all: boolean; namespaces: ReadonlySet<string> };

/** Why a request is refused: the status and the text of its answer. */
export class Refusal extends Error {
  readonly status: 401 | 403 | 429 | 503;
  constructor(status: Refusal['status'], message: string) {
    super(message);
    this.status = status;
  }
}

export type AccessCheck = (authorization: string | undefined, peer: string) => Promise<Access>;

export type AccessOptions = {
  kube: Pick<Kube, 'tokenReview' | 'mayList'>;
  metrics: Pick<ControllerMetrics, 'consoleRefused'>;
  /** The namespaces with WorkloadScopes. */
  namespaces(): string[];
  /** Milliseconds of a clock that does not jump. */
  now: () => number;
};

/** How long a right that was taken away may still be used, and how often a page costs reviews. */
export const rememberedMs = 60_000;
/** Users with an open page; the one that was asked longest ago goes first. */
const usersMax = 256;
/** Longest token in bytes; those of service accounts have about 1 KB, of OIDC a few. */
const tokenMax = 16_384;
/** A page asks once a minute, so only guesses exceed this; by address. */
const reviewRate = { perSecond: 1, burst: 10 };
/** Reviews at the same time, over all users: the rest is told to try again. */
const reviewsMax = 16;
/**
 * Reviews for a user who may not list WorkloadScopes of the whole cluster, one for each namespace;
 * namespaces after these, in alphabetical order, stay hidden.
 */
export const namespacesMax = 500;
/** Of these, at the same time. */
const atOnce = 8;

/**
 * Finds out what the owner of a bearer token may see: the API server reviews the token, and then
 * whether its user may list WorkloadScopes.
 */
export function createAccessCheck(options: AccessOptions): AccessCheck {
  const { now, metrics } = options;
  const rate = createRateLimit(reviewRate, now);
  const users = new Map<string, { access: Promise<Access>; until: number }>();
  let reviews = 0;

  function refusal(status: Refusal['status'], reason: string, text: string): Refusal {
    metrics.consoleRefused.inc({ reason });
    return new Refusal(status, text);
  }

  async function review(token: string): Promise<Access> {
    reviews += 1;
    try {
      const access = await accessOf(options, token);
      if (access === 'unknown') {
        throw refusal(401, 'token', 'the API server does not accept this token; get a new one');
      }
      if (access.all || access.namespaces.size > 0) return access;
      const text =
        'the user may not list workloadscopes.lazyscope.io in any namespace that has some';
      throw refusal(403, 'permission', `${text}; grant it by a RoleBinding`);
    } catch (error) {
      if (error instanceof Refusal) throw error;
      throw refusal(503, 'review', 'the API server could not review the token; try again');
    } finally {
      reviews -= 1;
    }
  }

  return async (authorization, peer) => {
    const token = /^Bearer (\S+)$/.exec(authorization ?? '')?.[1];
    if (!token || token.length > tokenMax) {
      throw refusal(401, 'token', 'a bearer token is needed: Authorization: Bearer TOKEN');
    }
    // The hash, so that no dump of the memory has tokens for longer than their request.
    const key = createHash('sha256').update(token).digest('base64');
    const known = users.get(key);
    if (known && known.until > now()) return known.access;
    if (reviews >= reviewsMax || !rate.take(peer)) {
      throw refusal(429, 'rate', 'too many tokens from this address; wait some seconds');
    }
    const access = review(token);
    users.delete(key);
    users.set(key, { access, until: now() + rememberedMs });
    // A refusal is not remembered: a right that was just granted counts with the next request.
    access.catch(() => users.delete(key));
    const [oldest] = users.keys();
    if (users.size > usersMax && oldest !== undefined) users.delete(oldest);
    return access;
  };
}

async function accessOf(
  { kube, namespaces }: AccessOptions,
  token: string,
): Promise<Access | 'unknown'> {
  // Without an audience: the token is one for the API server itself.
  const user = await kube.tokenReview(token, []);
  if (!user.authenticated || !user.username) return 'unknown';
  if (await kube.mayList(user, 'workloadscopes')) return { all: true, namespaces: new Set() };
  const allowed = new Set<string>();
  const waiting = namespaces().sort().slice(0, namespacesMax);
  async function work(): Promise<void> {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (await kube.mayList(user, 'workloadscopes', next)) allowed.add(next);
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work));
  return { all: false, namespaces: allowed };
}

export function maySee({ all, namespaces }: Access, namespace: string): boolean {
  return all || namespaces.has(namespace);
}
