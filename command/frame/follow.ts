import { setTimeout as sleep } from 'node:timers/promises';
import { counted } from '../../companion/core/mesh/counted.ts';
import { KubeError, type KubeObject } from '../../companion/kube/object.ts';
import type { ReadLine } from '../core/access-log.ts';
import { type Tally, tallyInto } from '../core/log-tally.ts';
import { CommandError } from './failure.ts';
import { eachLineOf } from './files.ts';
import { namespaceOf, type Session } from './verb.ts';

/** Reads the logs of running sidecars as they grow. */

/** The container that Istio injects. */
const container = 'istio-proxy';
/** One connection each, which the API server passes on to a kubelet. */
const podsMax = 200;
/** How often it looks for new pods, and says how far it is. */
const roundMs = 10_000;

/**
 * Runs a reader until it ends, the user interrupts it, or the time is over; says every ten seconds
 * what it has.
 */
export async function following(
  { out, interrupted }: Pick<Session, 'out' | 'interrupted'>,
  { forMs }: { forMs?: number },
  tally: Tally,
  read: (until: AbortSignal) => Promise<void>,
): Promise<void> {
  const end = new AbortController();
  const stop = () => end.abort();
  const timer = forMs === undefined ? undefined : setTimeout(stop, forMs);
  const telling = setInterval(() => out.warn(`so far ${progressOf(tally)}\n`), roundMs);
  void interrupted().then(stop);
  try {
    await read(end.signal);
  } finally {
    clearTimeout(timer);
    clearInterval(telling);
    stop();
  }
}

function progressOf({ lines, calls, byCaller, pairs }: Tally): string {
  return `${counted(lines, 'line')}, ${counted(calls, 'call')} of ${counted(byCaller.size, 'pod')} to ${counted(pairs, 'destination')}`;
}

type Following = { read: ReadLine; tally: Tally; until: AbortSignal };

/** Follows every sidecar of the namespace, or of all, also those that start meanwhile. */
export async function followSidecars(session: Session, following: Following): Promise<void> {
  const { out, cluster } = session;
  const { until } = following;
  const namespace = await namespaceOf(session);
  const { list } = await cluster();
  const pods = { group: '', version: 'v1', plural: 'pods', ...(namespace && { namespace }) };
  const open = new Map<string, Promise<void>>();
  /** When the log of a pod ended, which a new connection goes on from. */
  const ended = new Map<string, number>();
  let failure: unknown;
  let told = 0;
  while (!until.aborted && !failure) {
    const running = (await list(pods)).filter(hasSidecar);
    for (const pod of running) {
      const { uid = '' } = pod.metadata;
      if (open.has(uid) || open.size >= podsMax) continue;
      const reading = followOne(session, following, pod, ended.get(uid))
        .catch((error: unknown) => {
          failure ??= error;
        })
        .finally(() => {
          open.delete(uid);
          ended.set(uid, performance.now());
        });
      open.set(uid, reading);
    }
    if (open.size !== told) out.warn(`following ${counted(open.size, 'sidecar')}\n`);
    told = open.size;
    const left = running.length - open.size;
    if (left > 0 && open.size >= podsMax)
      out.warn(`${counted(left, 'sidecar')} left out: at most ${podsMax} are followed\n`);
    await sleep(roundMs, undefined, { signal: until }).catch(() => undefined);
  }
  await Promise.all(open.values());
  if (failure) throw failure;
}

function hasSidecar({ spec, status }: KubeObject): boolean {
  const all: { name: string }[] = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
  return status?.phase === 'Running' && all.some(({ name }) => name === container);
}

async function followOne(
  { cluster }: Session,
  { read, tally, until }: Following,
  { metadata: { namespace = '', name } }: KubeObject,
  endedAt: number | undefined,
): Promise<void> {
  const { followLog } = await cluster();
  const since = endedAt === undefined ? undefined : secondsSince(endedAt);
  try {
    const log = await followLog({ namespace, name, container }, until, since);
    const source = { name: `${namespace}/${name}`, caller: name, namespace };
    await eachLineOf(log, tallyInto(tally, read, source));
  } catch (error) {
    // A right that is missing stops the command; a pod that ends, or a connection, stops nothing.
    const { cause } = error as { cause?: unknown };
    const isRefused = cause instanceof KubeError && [401, 403].includes(cause.status);
    if (error instanceof CommandError && isRefused) throw error;
  }
}

function secondsSince(at: number): number {
  return Math.ceil((performance.now() - at) / 1000) + 1;
}
