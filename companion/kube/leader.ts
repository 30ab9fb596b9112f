import type { Logger } from 'pino';
import {
  begin,
  type ElectionEvent,
  everyMsOf,
  leaseOf,
  type Moment,
  next,
  remainingMs,
  timeoutMsOf,
  wantedOf,
} from './election.ts';
import { isKubeError, type Kube, type KubeObject } from './object.ts';

/** Campaigns for a Lease, and renews it: the requests and the clocks of `election.ts`. */
export type Leader = {
  /** Milliseconds for which this process may go on writing; 0 when it does not lead. */
  remainingMs(): number;
  /** Gives the Lease back, so that another replica need not wait; call when writing has stopped. */
  release(): Promise<void>;
};

export type LeaderOptions = {
  kube: Pick<Kube, 'get' | 'create' | 'replace'>;
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
/**
 * Pause after an attempt that took longer than its interval: the next attempt starts almost at
 * once.
 */
const retryMsMin = 50;
/** Requests of one attempt: a write that conflicts, a read, and the write again. */
const requestsMax = 3;
/** How soon the end of leadership is noticed while no request ends. */
const watchMs = 100;

const clocks = (): Moment => ({ steady: performance.now(), wall: Date.now() });

/** Starts to campaign. */
export function startLeader(options: LeaderOptions): Leader {
  const { log, identity } = options;
  const everyMs = everyMsOf(options);
  const stopped = new AbortController();
  let election = begin;
  let leading = false;

  function apply(event: ElectionEvent): void {
    election = next(election, event, clocks(), options);
  }

  /**
   * The local clock decides that leadership is lost, so it is noticed even if the API server is
   * silent.
   */
  function settle(): void {
    const now = remainingMs(election, clocks()) > 0;
    if (now === leading) return;
    leading = now;
    log.info({ identity, leading }, 'leadership changed');
    if (leading) options.onElected();
    else options.onLost();
  }

  async function attempt(): Promise<void> {
    apply({ type: 'turn' });
    for (let requests = 0; requests < requestsMax && !stopped.signal.aborted; requests++) {
      const wanted = wantedOf(election, clocks(), options);
      if (wanted === 'wait') return;
      const timeoutMs = timeoutMsOf(election, clocks(), options);
      const event = await request(options, wanted, election.known, timeoutMs);
      apply(event);
      if (event.type !== 'read' && event.type !== 'conflict') return;
    }
  }

  async function run(): Promise<void> {
    while (!stopped.signal.aborted) {
      const startedMs = performance.now();
      await attempt();
      settle();
      // From start to start: a slow server must not make renewals rarer than necessary.
      const spentMs = performance.now() - startedMs;
      const pauseMs = everyMs * (0.8 + Math.random() * 0.2) - spentMs;
      await pause(Math.max(retryMsMin, pauseMs), stopped.signal);
    }
  }

  const running = run();
  const watchdog = setInterval(settle, watchMs);

  return {
    remainingMs: () => remainingMs(election, clocks()),
    async release() {
      stopped.abort();
      clearInterval(watchdog);
      await running;
      const wasLeading = remainingMs(election, clocks()) > 0;
      apply({ type: 'released' });
      settle();
      if (wasLeading) await giveBack(options, election.known, everyMs);
    },
  };
}

type Target = Pick<LeaderOptions, 'kube' | 'log' | 'namespace' | 'name' | 'identity'> & {
  leaseSeconds: number;
};

/** One request to the API server, and its result for the Lease. */
async function request(
  target: Target,
  wanted: 'read' | 'create' | 'replace',
  known: KubeObject | 'none' | undefined,
  timeoutMs: number,
): Promise<ElectionEvent> {
  const { kube, log, namespace, name } = target;
  const from = clocks();
  try {
    if (wanted === 'read') return { type: 'read', lease: await read(target, timeoutMs) };
    const before = known === 'none' ? undefined : known;
    const lease = leaseOf(before, { name, namespace }, target, from.wall);
    const written = await inTime(kube[wanted](lease, { timeoutMs }), timeoutMs);
    return { type: 'written', lease: written, from };
  } catch (error) {
    if (isKubeError(error, 409)) return { type: 'conflict' };
    if (isKubeError(error, 404)) return { type: 'gone' };
    log.warn({ err: error, wanted }, 'request for the lease failed');
    return { type: 'unanswered' };
  }
}

function read({ kube, name, namespace }: Target, timeoutMs: number) {
  return inTime(kube.get(group, name, namespace, { timeoutMs }), timeoutMs);
}

/** The last written version may be unknown, because its answer may have been lost. */
async function giveBack(
  target: Target,
  known: KubeObject | 'none' | undefined,
  timeoutMs: number,
): Promise<void> {
  const free = ({ spec, ...lease }: KubeObject) =>
    inTime(
      target.kube.replace({ ...lease, spec: { ...spec, holderIdentity: '' } }, { timeoutMs }),
      timeoutMs,
    );
  try {
    if (known && known !== 'none') return void (await free(known));
  } catch (error) {
    if (!isKubeError(error, 409)) throw error;
  }
  const lease = await read(target, timeoutMs);
  if (lease?.spec?.holderIdentity === target.identity) await free(lease);
}

/** The attempt does not wait for a request that outlasts its timeout. */
async function inTime<Result>(answer: Promise<Result>, timeoutMs: number): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Like `bounds/backoff.ts`, but with timers that tests can control. */
function pause(ms: number, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      stopped.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    stopped.addEventListener('abort', end);
    if (stopped.aborted) end();
  });
}
