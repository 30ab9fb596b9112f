import type { IncomingMessage } from 'node:http';
import { createRateLimit, type Rate } from '../bounds/rate.ts';
import type { NodeMetrics } from './metrics.ts';
import type { Pod, Pods } from './pods.ts';

export type Path = 'report' | 'resolve' | 'hold';

/** The pod that asks, or the status to refuse with. */
export type Admission = { pod: Pod } | { status: 403 | 429; reason: string };

export type Admit = {
  (request: IncomingMessage, path: Path): Admission;
  forget(pod: Pod): void;
};

/** For each pod. A proxy has two VMs for each worker; 32 of them is a large one. */
const rates: Record<Path, Rate> = {
  // Every VM flushes at most once a second.
  report: { perSecond: 50, burst: 200 },
  // A starting app calls all its destinations at once; after that, answers live for many seconds.
  resolve: { perSecond: 200, burst: 1000 },
  // A first call takes two rounds of about 100 ms, so 256 held requests (hold.ts) make 2,560
  // requests a second.
  hold: { perSecond: 2500, burst: 5000 },
};

/** The source address identifies the pod; the content of the request does not. */
export function createAdmit(pods: Pods, metrics: NodeMetrics, now: () => number): Admit {
  const limits = {
    report: createRateLimit(rates.report, now),
    resolve: createRateLimit(rates.resolve, now),
    hold: createRateLimit(rates.hold, now),
  };
  function admit(request: IncomingMessage, path: Path): Admission {
    const found = pods.find(request.socket.remoteAddress ?? '');
    if ('refused' in found) {
      metrics.refused.inc({ path, reason: found.refused });
      return { status: 403, reason: found.refused };
    }
    if (!limits[path].take(found.pod.uid)) {
      metrics.limited.inc({ path });
      return { status: 429, reason: 'too many requests of this pod' };
    }
    return found;
  }
  return Object.assign(admit, {
    forget(pod: Pod) {
      for (const limit of Object.values(limits)) limit.forget(pod.uid);
    },
  });
}
