import { createQuota } from '../bounds/quota.ts';
import { createRateLimit } from '../bounds/rate.ts';
import { decodeLogMessage } from '../contract/access-log.ts';
import { keyOf } from '../contract/rpc.ts';
import { usesOf } from '../core/first-call/logged-call.ts';
import type { Aggregate } from './aggregate.ts';
import { createFrames } from './grpc-frames.ts';
import type { LoggedUses } from './logged.ts';
import type { NodeMetrics } from './metrics.ts';
import type { EdgeName } from './observed.ts';
import type { Pod, Pods } from './pods.ts';

/** An open stream of a proxy. */
export type LogStream = {
  /** False: the stream has a fault, and must end. */
  receive(chunk: Buffer): boolean;
  ended(): void;
};

export type Refused = { refused: 'unknown-source' | 'namespace-not-enabled' | 'limited' | 'full' };

/** The access logs of the proxies of this node, apart from their transport. */
export type AccessLogs = {
  open(address: string): LogStream | Refused;
  /** A health check of Envoy, the sign of life of a proxy that makes no calls. */
  check(address: string): 'serving' | Refused;
  forget(pod: Pod): void;
};

export const accessLogBounds = {
  /**
   * Envoy has a stream for each worker thread and each logger (HTTP, TCP): 64 for 32 workers, and
   * as many again while a change of its listeners drains. About 5 KB each.
   */
  streams: { all: 2_048, perKey: 128 },
  /** Opened streams and health checks of a pod; Envoy opens a refused stream again each second. */
  calls: { perSecond: 100, burst: 400 },
  /**
   * Envoy sends what it has buffered when that exceeds 16 KiB; one entry more has at most the 60
   * KiB of headers that Envoy accepts.
   */
  messageBytes: 128 * 1024,
  /** Messages that have arrived in part, together and of one pod. */
  partial: { all: 16 * 1024 * 1024, pod: 2 * 1024 * 1024 },
  /**
   * Bytes a second, and what may come at once. An entry has about 600: 25,000 entries a second of a
   * pod, 100,000 of a node. What is above is read from the socket and dropped, so that Envoy never
   * waits.
   */
  podRate: { perSecond: 15_000_000, burst: 30_000_000 },
  nodeRate: { perSecond: 60_000_000, burst: 120_000_000 },
};

export type AccessLogsOptions = {
  pods: Pick<Pods, 'find' | 'isServed'>;
  aggregate: Aggregate;
  metrics: NodeMetrics;
  now: () => number;
  /** A proxy was heard; `urgent`: it is new, or used a destination for the first time. */
  onReport(pod: Pod, urgent: boolean): void;
  bounds?: typeof accessLogBounds;
};

export function createAccessLogs(options: AccessLogsOptions): AccessLogs {
  const { pods, aggregate, metrics, now, onReport, bounds = accessLogBounds } = options;
  const calls = createRateLimit(bounds.calls, now);
  const streams = createQuota(bounds.streams);
  const ofPod = createRateLimit(bounds.podRate, now);
  const ofNode = createRateLimit(bounds.nodeRate, now);
  const partial = createRoom(bounds.partial);
  let open = 0;

  function admit(address: string): { pod: Pod } | Refused {
    const found = pods.find(address);
    if ('refused' in found) {
      metrics.refused.inc({ path: 'access-log', reason: found.refused });
      return found;
    }
    if (calls.take(found.pod.uid)) return found;
    metrics.limited.inc({ path: 'access-log' });
    return { refused: 'limited' };
  }

  function drop(pod: Pod, bound: string): void {
    metrics.logDropped.inc({ bound });
    aggregate.missedLog(pod, bound);
  }

  function read(pod: Pod, message: Buffer): void {
    if (!pods.isServed(pod)) return;
    const isTooFast = !ofPod.take(pod.uid, message.length);
    if (isTooFast || !ofNode.take('', message.length)) {
      drop(pod, isTooFast ? 'pod rate' : 'node rate');
      return;
    }
    const { uses, broken } = readUses(message, metrics);
    for (let i = 0; i < broken; i++) drop(pod, 'malformed');
    onReport(pod, aggregate.recordLog(pod, uses));
  }

  function streamOf(pod: Pod): LogStream {
    const { uid } = pod;
    open += 1;
    metrics.logStreams.set(open);
    if (aggregate.heardLog(pod, 'opened')) onReport(pod, true);
    const frames = createFrames({
      bytesMax: bounds.messageBytes,
      reserve: (bytes) => partial.take(uid, bytes),
      release: (bytes) => partial.give(uid, bytes),
      onMessage: (message) => read(pod, message),
      onSkipped: (bound) => drop(pod, bound),
    });
    return {
      receive: (chunk) => frames.push(chunk),
      ended() {
        frames.end();
        streams.leave(uid);
        open -= 1;
        metrics.logStreams.set(open);
        if (pods.isServed(pod)) aggregate.heardLog(pod, 'ended');
      },
    };
  }

  return {
    open(address) {
      const found = admit(address);
      if ('refused' in found) return found;
      const { pod } = found;
      if (streams.enter(pod.uid)) return streamOf(pod);
      drop(pod, 'streams');
      return { refused: 'full' };
    },
    check(address) {
      const found = admit(address);
      if ('refused' in found) return found;
      onReport(found.pod, aggregate.heardLog(found.pod));
      return 'serving';
    },
    forget({ uid }) {
      calls.forget(uid);
      ofPod.forget(uid);
    },
  };
}

type Tally = Map<string, { edge: EdgeName; calls: number }>;

/** What a message says, added up by destination, because most entries repeat a few. */
function readUses(message: Buffer, metrics: NodeMetrics): { uses: LoggedUses; broken: number } {
  const { calls, broken } = decodeLogMessage(message);
  const uses: Tally = new Map();
  let ignored = 0;
  for (const call of calls) {
    const found = usesOf(call);
    if (found.length === 0) ignored += 1;
    for (const { edge, calls: more } of found) {
      const key = keyOf(edge);
      const use = uses.get(key);
      if (use) use.calls += more;
      else uses.set(key, { edge, calls: more });
    }
  }
  metrics.logEntries.inc({ use: 'used' }, calls.length - ignored);
  metrics.logEntries.inc({ use: 'ignored' }, ignored);
  return { uses, broken };
}

/** Bytes that are taken at the same time: in total, and for each key. */
function createRoom({ all, pod }: { all: number; pod: number }) {
  const taken = new Map<string, number>();
  let total = 0;
  return {
    take(key: string, bytes: number): boolean {
      const here = taken.get(key) ?? 0;
      if (total + bytes > all || here + bytes > pod) return false;
      taken.set(key, here + bytes);
      total += bytes;
      return true;
    },
    give(key: string, bytes: number): void {
      const rest = (taken.get(key) ?? 0) - bytes;
      if (rest > 0) taken.set(key, rest);
      else taken.delete(key);
      total -= bytes;
    },
  };
}
