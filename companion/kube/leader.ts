import type { Logger } from 'pino';
import { isKubeError, type Kube, type KubeObject } from './object.ts';

/**
 * Leader election by a Lease, as client-go does it: renewals carry the resource version, so that two
 * candidates cannot both win, and a holder is taken for gone only after its Lease stood still for
 * the whole duration by the watcher's own clock. Clocks of two machines are never compared.
 */
export type Leader = {
  /** Milliseconds for which this process may go on writing; 0 when it does not lead. */
  remainingMs(): number;
  /** Gives the Lease back, so that another replica need not wait; call when writing has stopped. */
  release(): Promise<void>;
};

export type LeaderOptions = {
  kube: Kube;
  log: Logger;
  namespace: string;
  name: string;
  /** Unique among the candidates: the name of the pod. */
  identity: string;
  leaseSeconds: number;
  onElected: () => void;
  onLost: () => void;
};

const group = { group: 'coordination.k8s.io', version: 'v1', plural: 'leases' } as const;
/** Share of the duration after which a holder that could not renew stops; the rest is margin. */
const holderShare = 2 / 3;
/** Renewals within the holder's share: two may fail. */
const renewalsPerShare = 3;

const retryMsMin = 200;

type Observed = { resourceVersion: string; sinceMs: number };

/** Starts to campaign. */
export function startLeader(options: LeaderOptions): Leader {
  const { kube, log, namespace, name, identity, leaseSeconds } = options;
  const durationMs = leaseSeconds * 1000;
  let stopped = false;
  let wake = () => {};
  let deadlineMs = 0;
  let deadlineAt = 0;
  let leading = false;
  let wasSeen = false;
  let leadsFromMs = 0;
  let held: KubeObject | undefined;
  let observed: Observed | undefined;

  function remainingMs(): number {
    // The clock that counts time alone stands still while a virtual machine is paused; the time of day
    // does not, once it is set right. The shorter of both is safe, and a jump ahead costs one renewal.
    const left = Math.min(deadlineMs - performance.now(), deadlineAt - Date.now());
    return Math.max(0, Math.floor(left));
  }

  /** Losing is decided by the local clock, so it is noticed also while the API server is silent. */
  function settle(): void {
    const now = remainingMs() > 0;
    if (now === leading) return;
    leading = now;
    log.info({ identity, leading }, 'leadership changed');
    if (leading) options.onElected();
    else options.onLost();
  }

  async function campaign(): Promise<void> {
    const [startedMs, startedAt] = [performance.now(), Date.now()];
    // A holder need not look: the version that it holds is the last, or the renewal fails with 409.
    const lease = remainingMs() > 0 ? held : await kube.get(group, name, namespace);
    if (!lease) {
      held = await kube.create(leaseOf(options, undefined));
      // Somebody deleted it, and whoever held it may not know yet: led is after it must have noticed.
      leadsFromMs = wasSeen ? startedMs + durationMs : 0;
    } else if (mayTake(lease, startedMs)) {
      held = await kube.replace(leaseOf(options, lease));
    } else {
      deadlineMs = 0;
      wasSeen = true;
      return;
    }
    wasSeen = true;
    if (startedMs < leadsFromMs) return;
    // Counted from before the request: the server may have stamped it any time since.
    deadlineMs = startedMs + durationMs * holderShare;
    deadlineAt = startedAt + durationMs * holderShare;
  }

  function mayTake(lease: KubeObject, nowMs: number): boolean {
    const holder = lease.spec?.holderIdentity as string | undefined;
    if (!holder || holder === identity) return true;
    const resourceVersion = lease.metadata.resourceVersion ?? '';
    if (observed?.resourceVersion !== resourceVersion) {
      observed = { resourceVersion, sinceMs: nowMs };
    }
    const holderMs = ((lease.spec?.leaseDurationSeconds as number) ?? leaseSeconds) * 1000;
    return nowMs - observed.sinceMs > holderMs;
  }

  async function run(): Promise<void> {
    while (!stopped) {
      const startedMs = performance.now();
      try {
        await campaign();
      } catch (error) {
        // 409: another candidate was faster, which is how elections go. 404: it was deleted.
        const isLost = isKubeError(error, 409) || isKubeError(error, 404);
        if (isLost) deadlineMs = 0;
        else log.warn({ err: error }, 'renewing the lease failed');
      }
      settle();
      const everyMs = ((durationMs * holderShare) / renewalsPerShare) * (0.8 + Math.random() * 0.2);
      // From start to start: a slow server must not make renewals rarer than they have to be.
      const pauseMs = Math.max(retryMsMin, everyMs - (performance.now() - startedMs));
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, pauseMs);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  const running = run();
  const watchdog = setInterval(settle, 100);

  return {
    remainingMs,
    async release() {
      stopped = true;
      wake();
      clearInterval(watchdog);
      await running;
      const wasLeading = remainingMs() > 0;
      deadlineMs = 0;
      settle();
      if (!wasLeading || !held) return;
      await kube.replace({ ...held, spec: { ...held.spec, holderIdentity: '' } });
    },
  };
}

function leaseOf(options: LeaderOptions, before: KubeObject | undefined): KubeObject {
  const { namespace, name, identity, leaseSeconds } = options;
  const now = new Date().toISOString().replace('Z', '000Z');
  const isRenewal = before?.spec?.holderIdentity === identity;
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: before?.metadata ?? { name, namespace },
    spec: {
      holderIdentity: identity,
      leaseDurationSeconds: leaseSeconds,
      acquireTime: isRenewal ? before?.spec?.acquireTime : now,
      renewTime: now,
      leaseTransitions: (before?.spec?.leaseTransitions ?? 0) + (isRenewal || !before ? 0 : 1),
    },
  };
}
