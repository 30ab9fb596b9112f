import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { CatalogPart, Follow } from '../../contract/rpc.ts';
import { buckets, digestOf } from '../../core/compact/digests.ts';
import { encode } from '../../core/compact/encode.ts';
import type { CatalogBounds } from '../../core/compact/fit.ts';
import { type CompactRecord, keyOf } from '../../core/compact/records.ts';
import type { PodRecord } from '../../core/mesh/pod-record.ts';
import type { ControllerMetrics } from '../metrics.ts';
import type { State } from '../state/state.ts';
import { callerFacts } from './answer.ts';
import { type CompactStore, createCompactStore } from './compact-store.ts';
import { type Follower, followerBounds, type Part, sendChanges, sendWhole } from './follower.ts';
import { type Callers, noSizes } from './follower-sizes.ts';
import type { AnswerConfig } from './mesh-view.ts';
import type { SentText } from './stored-record.ts';

/** Sends the compact catalog to the nodes that follow this replica. */
export type Feed = {
  /**
   * Sends what the node lacks, and from then on every change. A node gets what callers in its own
   * pods may see, by the pods that the API server says are on it. Returns what ends it.
   */
  follow(node: string, follow: Follow, send: (part: CatalogPart) => void): () => void;
  /** What changed since, to be looked at soon. */
  mark: Pick<CompactStore, 'mark' | 'markIn' | 'markRest' | 'markAll' | 'markDue'> & {
    /** Callers of a namespace, or of all. */
    callers(namespace: string | undefined): void;
    /** The same at once, because settings of callers changed. */
    settings(namespace: string | undefined): void;
  };
  /** Sends every change so far without a delay; resolves when the streams have it. */
  sent(): Promise<void>;
  stop(): void;
};

/** The records that this release writes. */
const layout = 1;

/**
 * Changes wait this long for others, because a rollout changes a host many times within a second.
 * It is less than istiod's debounce of 100 ms, so a node is not later than a proxy with full
 * configuration.
 */
const gatherMs = 50;

/**
 * In a mesh of many nodes in which something always changes, each gathering is a message to every
 * node, so changes wait longer there: 250 ms for 1,000 nodes.
 */
const partsPerMs = 4;

export const gatherMsFor = (nodes: number) => Math.max(gatherMs, nodes / partsPerMs);

/** Nodes that are sent a change without a pause: some milliseconds. */
const followersPerTurn = 20;

export type FeedOptions = {
  state: State;
  config: AnswerConfig;
  metrics: Pick<ControllerMetrics, 'catalogParts' | 'catalogFollowers' | 'catalogShortHosts'>;
  log: Logger;
  now: () => number;
  bounds?: CatalogBounds;
};

export function createFeed(options: FeedOptions): Feed {
  const { state, metrics, log, bounds = followerBounds } = options;
  const store = createCompactStore(options);
  const followers = new Set<Follower>();
  /** Namespaces whose callers may have changed; undefined stands for all of them. */
  const marked = new Set<string | undefined>();
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;
  let work = Promise.resolve();

  /** One step at a time, so that nothing is sent between a change and what depends on it. */
  function then(step: () => void | Promise<void>): void {
    work = work.then(step).catch((err) => log.error({ err }, 'compact catalog not sent'));
  }

  async function flush(): Promise<void> {
    const changes = await store.refresh();
    const pods = marked.size > 0 ? podsByNode(state) : undefined;
    const touched = new Set(marked);
    marked.clear();
    let turn = 0;
    for (const follower of followers) {
      const here = pods?.get(follower.node) ?? [];
      const isTouched =
        pods !== undefined &&
        (touched.has(undefined) ||
          [...follower.callers.namespaces].some((each) => touched.has(each)) ||
          here.some(({ namespace }) => touched.has(namespace)));
      // As many nodes connect, each of them has all others looked through.
      if (!isTouched && changes.length === 0) continue;
      turn += 1;
      // A change for 1,000 nodes takes 100 ms, and questions must not wait for that.
      if (isTouched || turn % followersPerTurn === 0) await nextTurn();
      if (!followers.has(follower)) continue;
      const callers = isTouched ? callersOf(options, here) : follower.callers;
      sendChanges(follower, store, bounds, { changes, callers });
    }
    count();
  }

  function count(): void {
    const states = { fed: 0, 'in-part': 0, 'too-large': 0 };
    let short = 0;
    for (const follower of followers) {
      states[stateOf(follower)] += 1;
      short = Math.max(short, follower.shortHosts);
    }
    for (const [state, nodes] of Object.entries(states))
      metrics.catalogFollowers.set({ state }, nodes);
    metrics.catalogShortHosts.set(short);
  }

  function schedule(delayMs = gatherMsFor(followers.size)): void {
    // Marks are kept until a node follows.
    if (isStopped || followers.size === 0 || (timer && delayMs > 0)) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = undefined;
      then(flush);
    }, delayMs);
  }
  const soon =
    <Args extends unknown[]>(mark: (...args: Args) => void) =>
    (...args: Args): void => {
      mark(...args);
      schedule();
    };

  return {
    mark: {
      mark: soon(store.mark),
      markIn: soon(store.markIn),
      markRest: soon(store.markRest),
      markAll: soon(store.markAll),
      markDue: soon(store.markDue),
      callers: soon((namespace) => void marked.add(namespace)),
      settings(namespace) {
        marked.add(namespace);
        schedule(0);
      },
    },
    follow(node, { layout: wanted, digests, id }, send) {
      let follower: Follower | undefined;
      let isEnded = wanted < layout;
      then(flush);
      then(() => {
        if (isEnded || isStopped) return;
        const callers = callersOf(options, podsByNode(state, node).get(node) ?? []);
        const counted = (part: Part) => {
          metrics.catalogParts.inc();
          send({ ...part, followId: id });
        };
        follower = {
          node,
          send: counted,
          callers,
          own: noSizes(),
          ...{ whole: undefined, shortHosts: 0 },
        };
        followers.add(follower);
        sendWhole(follower, store, bounds, digests);
        count();
      });
      return () => {
        isEnded = true;
        if (follower) followers.delete(follower);
        count();
      };
    },
    sent() {
      then(flush);
      return work;
    },
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}

function stateOf({ whole }: Follower): 'fed' | 'in-part' | 'too-large' {
  if (whole === undefined) return 'too-large';
  return whole < buckets ? 'in-part' : 'fed';
}

/** Pods of enabled namespaces whose proxies may have the filter, of all nodes or of one. */
function podsByNode({ namespaces, catalog }: State, only?: string): Map<string, PodRecord[]> {
  const byNode = new Map<string, PodRecord[]>();
  for (const [name, { label }] of namespaces) {
    if (label === undefined) continue;
    for (const pod of catalog.podsIn(name)) {
      if (!pod.hasSidecar || !pod.running || pod.node === '') continue;
      if (only !== undefined && pod.node !== only) continue;
      byNode.set(pod.node, [...(byNode.get(pod.node) ?? []), pod]);
    }
  }
  return byNode;
}

function callersOf({ state, config, now }: FeedOptions, pods: readonly PodRecord[]): Callers {
  const texts = new Map<string, SentText>();
  for (const pod of pods) {
    const { namespace } = pod;
    const facts = callerFacts(state, config, { namespace, pod }, now());
    const record: CompactRecord = {
      type: 'caller',
      caller: { ...facts, pod: pod.name, uid: pod.uid },
    };
    const text = encode(record);
    if (text === undefined) continue;
    const key = keyOf(record);
    texts.set(key, { text, digest: digestOf(key, text) });
  }
  return { texts, namespaces: new Set(pods.map(({ namespace }) => namespace)) };
}
