import { unpackRecords } from '../contract/catalog-pack.ts';
import type { CatalogPart, Follow } from '../contract/rpc.ts';
import { answerFrom, type CompactAnswer } from '../core/compact/answer.ts';
import type { UnknownCall } from '../core/first-call/resolve.ts';
import { keepNothing, lengthOf, take } from './kept-records.ts';
import type { NodeMetrics } from './metrics.ts';
import type { Pod } from './pods.ts';

/** A controller's stream. */
export type Source = { follow(follow: Follow): void };

/**
 * The compact catalog of this node, from one controller at a time. Without any controller it stays
 * as it was, so that first calls to hosts that it has work for as long as that takes.
 */
export type CompactReplica = {
  opened(source: Source): void;
  ended(source: Source): void;
  received(source: Source, part: CatalogPart): void;
  /** What the catalog says about a call; undefined: nothing, so a controller must be asked. */
  answer(pod: Pod, call: UnknownCall): CompactAnswer | undefined;
  stop(): void;
};

/** The records that this release reads. */
const layout = 1;

/**
 * A controller of an earlier release sends no catalog, and one that is stuck sends none in time;
 * then the next one is asked.
 */
const followMs = 5_000;

/**
 * As much as a controller sends (controller/nodes/follower.ts), twice, because a part is kept until
 * all parts are there.
 */
export const replicaBounds = { records: 40_000, length: 16 * 1024 * 1024 };

export type CompactReplicaOptions = {
  metrics: Pick<NodeMetrics, 'catalogHosts' | 'catalogCurrent' | 'evicted'>;
  bounds?: typeof replicaBounds;
};

export function createCompactReplica(options: CompactReplicaOptions): CompactReplica {
  const { metrics, bounds = replicaBounds } = options;
  const sources = new Set<Source>();
  let kept = keepNothing();
  let staged: CatalogPart[] = [];
  let stagedLength = 0;
  let source: Source | undefined;
  /** Parts are answers to the newest Follow, or they start from another state. */
  let followId = 0;
  /** A change that is being put in force; the catalog is not whole meanwhile. */
  let taking: Iterator<void> | undefined;
  let isStopped = false;
  let isCurrent = false;
  /** More was sent than is kept: the rest of the stream changes what is not there. */
  let isFull = false;
  let timer: NodeJS.Timeout | undefined;

  function setCurrent(value: boolean): void {
    isCurrent = value;
    metrics.catalogCurrent.set(value ? 1 : 0);
    metrics.catalogHosts.set(kept.catalog.hosts());
  }

  function unstage(): void {
    staged = [];
    stagedLength = 0;
  }

  function follow(next: Source | undefined): void {
    finish();
    source = next;
    isFull = false;
    unstage();
    setCurrent(false);
    clearTimeout(timer);
    if (!next || isStopped) return;
    followId += 1;
    next.follow({ layout, digests: kept.digests.toBytes(), id: followId });
    awaitParts(next);
  }

  function awaitParts(from: Source): void {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const all = [...sources];
      const next = all[(all.indexOf(from) + 1) % all.length];
      if (next === from) awaitParts(from);
      else follow(next);
    }, followMs).unref();
  }

  function step(): void {
    if (!taking) return;
    if (!taking.next().done) return void setImmediate(step);
    taking = undefined;
    if (kept.texts.size > bounds.records) overflow();
    else setCurrent(true);
  }

  function finish(): void {
    while (taking) if (taking.next().done) taking = undefined;
  }

  function drop(): void {
    taking = undefined;
    kept = keepNothing();
    unstage();
    clearTimeout(timer);
    setCurrent(false);
  }

  function overflow(): void {
    metrics.evicted.inc({ table: 'catalog' });
    drop();
    isFull = true;
  }

  return {
    opened(opened) {
      sources.add(opened);
      if (!source) follow(opened);
    },
    ended(ended) {
      sources.delete(ended);
      if (source === ended) follow([...sources][0]);
    },
    received(from, part) {
      if (from !== source || part.followId !== followId || isFull) return;
      // The controller sends the catalog as soon as it fits again.
      if (part.refused !== '') return drop();
      const whole = unpacked(part);
      if (!whole) return overflow();
      staged.push(whole);
      stagedLength += lengthOf(whole);
      if (kept.length + stagedLength > bounds.length) return overflow();
      if (!part.complete) return;
      clearTimeout(timer);
      finish();
      taking = take(kept, staged);
      unstage();
      step();
    },
    answer({ namespace, name, uid }, call) {
      if (taking) return undefined;
      const answer = answerFrom(kept.catalog, { namespace, name, uid }, call);
      // A controller that is there knows better than a catalog that it does not keep up to date.
      const isBest = isCurrent || sources.size === 0;
      return answer && !isBest ? { ...answer, use: 'alone' } : answer;
    },
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}

/** The part with the records of its packs; undefined if a pack is none. */
function unpacked(part: CatalogPart): CatalogPart | undefined {
  if (part.packs.length === 0) return part;
  const packs = part.packs.map(unpackRecords);
  const records = packs.flatMap((pack) => pack ?? []);
  return packs.includes(undefined)
    ? undefined
    : { ...part, packs: [], records: [...records, ...part.records] };
}
