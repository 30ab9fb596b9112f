import type { Logger } from 'pino';
import { limited, newsMax } from '../../core/scope/condition.ts';
import type { Kube, KubeObject } from '../../kube/object.ts';
import type { ControllerMetrics } from '../metrics.ts';
import type { News, Sink } from './sink.ts';

export type KubeSinkOptions = {
  kube: Kube;
  log: Logger;
  metrics: ControllerMetrics;
  /** Milliseconds for which the Lease is certainly held. */
  leaseMs(): number;
  now: () => number;
};

const fieldManager = 'lazyscope';

/** A write that takes longer is abandoned and retried. */
const writeTimeoutMs = 10_000;

/**
 * The sink of a cluster: the leader's writes, measured; none starts without the Lease or outlasts
 * it.
 */
export function createKubeSink({ kube, log, metrics, leaseMs, now }: KubeSinkOptions): Sink {
  /** Each write has the remaining time of the Lease, and none starts without it. */
  async function measured<Result>(
    kind: string,
    verb: string,
    write: (timeoutMs: number) => Promise<Result>,
  ): Promise<Result> {
    const timeoutMs = Math.min(writeTimeoutMs, leaseMs());
    if (timeoutMs <= 0) {
      metrics.writes.inc({ kind, verb, outcome: 'refused' });
      throw new Error(`${verb} ${kind}: not written, because this replica no longer leads`);
    }
    const end = metrics.writeSeconds.startTimer();
    try {
      const result = await write(timeoutMs);
      metrics.writes.inc({ kind, verb, outcome: 'done' });
      metrics.lastWrite.setToCurrentTime();
      return result;
    } catch (error) {
      metrics.writes.inc({ kind, verb, outcome: 'failed' });
      throw error;
    } finally {
      end();
    }
  }

  return {
    mayWrite: () => leaseMs() > 0,
    apply(object, subresource) {
      const verb = subresource ? 'apply status' : 'apply';
      return measured(object.kind, verb, (timeoutMs) =>
        kube.apply(object, {
          fieldManager: subresource ? `${fieldManager}-status` : fieldManager,
          force: true,
          timeoutMs,
          ...(subresource && { subresource }),
        }),
      );
    },
    delete: (resource, { namespace, name, uid }) =>
      measured(resource.plural, 'delete', (timeoutMs) =>
        kube.delete(resource, name, namespace, { preconditions: { uid }, timeoutMs }),
      ),
    async tell(about, event) {
      try {
        await measured('Event', 'create', (timeoutMs) =>
          kube.create(eventOf(about, event, now()), { timeoutMs }),
        );
      } catch (err) {
        log.warn({ err, event }, 'failed to report a change');
      }
    },
  };
}

function eventOf(
  { apiVersion, kind, metadata }: KubeObject,
  { reason, message, isWarning = false }: News,
  nowMs: number,
): KubeObject {
  const { name, namespace = '', uid } = metadata;
  const time = new Date(nowMs).toISOString().replace(/\.\d{3}Z$/, 'Z');
  return {
    apiVersion: 'v1',
    kind: 'Event',
    // By reason too: two Events may have the same millisecond.
    metadata: { name: `${name}.${nowMs.toString(16)}.${reason.toLowerCase()}`, namespace },
    involvedObject: { apiVersion, kind, name, namespace, ...(uid && { uid }) },
    type: isWarning ? 'Warning' : 'Normal',
    reason,
    message: limited(message, newsMax),
    source: { component: 'lazyscope' },
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
  };
}
