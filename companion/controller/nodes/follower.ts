import type { CatalogPart } from '../../contract/rpc.ts';
import { bucketOf, createDigests, differing } from '../../core/compact/digests.ts';
import type { Change, CompactStore } from './compact-store.ts';

/** The compact records of the pods of a node: the text by key, and the namespaces of the pods. */
export type Callers = { texts: ReadonlyMap<string, string>; namespaces: ReadonlySet<string> };

/** A part, before it is known which Follow it answers. */
export type Part = Omit<CatalogPart, 'followId'>;

/** A node that follows the compact catalog on one stream. */
export type Follower = {
  readonly node: string;
  /** Keeps a part until the node reads it. */
  send(part: Part): void;
  callers: Callers;
  /** Hosts that the node may see, and the length of all records in characters. */
  hosts: number;
  length: number;
  /** The records are more than a node keeps. */
  isRefused: boolean;
};

/**
 * For one node: twice the hosts of the largest mesh that is tested, with 800 characters each. Node
 * companions accept as much (node/compact-replica.ts). Beyond that a node asks about every call.
 */
export const followerBounds = { hosts: 10_000, length: 8 * 1024 * 1024 };

export type Bounds = typeof followerBounds;

/** A message has at most 1 MiB, a record at most 64 Ki characters of at most 3 bytes. */
const partLength = 256 * 1024;

type News = { cleared: Iterable<number>; records: [string, string][]; removed: string[] };

/** Sends what the node lacks: the buckets that differ from what it had. */
export function sendWhole(
  follower: Follower,
  store: Pick<CompactStore, 'entries'>,
  bounds: Bounds,
  had: Uint8Array = new Uint8Array(),
): void {
  const { callers } = follower;
  const own = createDigests();
  const all: [string, string][] = [...callers.texts];
  follower.hosts = 0;
  follower.length = 0;
  for (const [key, record] of store.entries()) {
    const text = record.textFor(callers.namespaces);
    if (text === undefined) continue;
    all.push([key, text]);
    if (record.isHost) follower.hosts += 1;
  }
  for (const [key, text] of all) {
    own.toggle(key, text);
    follower.length += text.length;
  }
  follower.isRefused = isOver(follower, bounds);
  if (follower.isRefused) {
    refuse(follower);
    return;
  }
  const cleared = differing(own.toBytes(), had);
  const records = all.filter(([key]) => cleared.has(bucketOf(key)));
  sendParts(follower, { cleared, records, removed: [] });
}

/** Sends what changed. */
export function sendChanges(
  follower: Follower,
  store: Pick<CompactStore, 'entries'>,
  bounds: Bounds,
  { changes, callers }: { changes: readonly Change[]; callers: Callers },
): void {
  const before = follower.callers;
  const news: News = { cleared: [], records: [], removed: [] };
  const put = (key: string, was: string | undefined, is: string | undefined, isHost = false) => {
    if (was === is) return;
    if (is === undefined) news.removed.push(key);
    else news.records.push([key, is]);
    follower.length += (is?.length ?? 0) - (was?.length ?? 0);
    if (isHost) follower.hosts += Number(is !== undefined) - Number(was !== undefined);
  };
  for (const key of new Set([...before.texts.keys(), ...callers.texts.keys()])) {
    put(key, before.texts.get(key), callers.texts.get(key));
  }
  const changed = new Set(changes.map(({ key }) => key));
  for (const { key, before: was, after: is } of changes) {
    const isHost = (is ?? was)?.isHost;
    put(key, was?.textFor(before.namespaces), is?.textFor(callers.namespaces), isHost);
  }
  if (!isSame(before.namespaces, callers.namespaces)) {
    for (const [key, record] of store.entries()) {
      if (changed.has(key)) continue;
      const was = record.textFor(before.namespaces);
      put(key, was, record.textFor(callers.namespaces), record.isHost);
    }
  }
  follower.callers = callers;
  if (follower.isRefused && !isOver(follower, bounds)) {
    sendWhole(follower, store, bounds);
    return;
  }
  if (follower.isRefused || news.records.length + news.removed.length === 0) return;
  follower.isRefused = isOver(follower, bounds);
  if (follower.isRefused) refuse(follower);
  else sendParts(follower, news);
}

function isOver({ hosts, length }: Follower, bounds: Bounds): boolean {
  return hosts > bounds.hosts || length > bounds.length;
}

function refuse({ send, hosts, length }: Follower): void {
  const refused = `${hosts} hosts with ${length} characters are more than a node keeps`;
  send({ cleared: [], records: [], removed: [], complete: false, refused });
}

function sendParts({ send }: Follower, { cleared, records, removed }: News): void {
  const empty = (): Part => {
    return { cleared: [], records: [], removed: [], complete: false, refused: '' };
  };
  let part: Part = { ...empty(), cleared: [...cleared] };
  let length = 0;
  const add = (size: number) => {
    length += size;
    if (length <= partLength) return;
    send(part);
    part = empty();
    length = size;
  };
  for (const key of removed) {
    add(key.length);
    part.removed.push(key);
  }
  for (const [key, text] of records) {
    add(key.length + text.length);
    part.records.push({ key, text });
  }
  send({ ...part, complete: true });
}

function isSame(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one.size === other.size && [...one].every((each) => other.has(each));
}
