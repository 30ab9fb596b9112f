import type { CatalogPart } from '../../contract/rpc.ts';
import { bucketOf, differing } from '../../core/compact/digests.ts';
import type { Change, CompactStore } from './compact-store.ts';
import type { SentText } from './stored-record.ts';

/** The compact records of the pods of a node: the text by key, and the namespaces of the pods. */
export type Callers = { texts: ReadonlyMap<string, SentText>; namespaces: ReadonlySet<string> };

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

/** Above this many changed records, their buckets are sent whole: compressed once for all nodes. */
const changesMax = 500;

type Store = Pick<CompactStore, 'unshared' | 'shared'>;
type News = {
  cleared: Iterable<number>;
  records: [string, SentText][];
  removed: string[];
  packs: { bytes: Uint8Array; length: number }[];
};

/** Sends what the node lacks: the buckets that differ from what it had. */
export function sendWhole(
  follower: Follower,
  store: Store,
  bounds: Bounds,
  had: Uint8Array = new Uint8Array(),
): void {
  const { shared } = store;
  const digests = shared.digests.copy();
  follower.hosts = shared.hosts;
  follower.length = shared.length;
  for (const [, { text, digest }, isHost] of ownRecords(follower, store)) {
    digests.toggleDigest(digest);
    follower.length += text.length;
    if (isHost) follower.hosts += 1;
  }
  follower.isRefused = isOver(follower, bounds);
  if (follower.isRefused) refuse(follower);
  else sendBuckets(follower, store, differing(digests.toBytes(), had));
}

/** What the node gets beside that which every node gets. */
function* ownRecords(
  { callers }: Follower,
  store: Store,
): Generator<[key: string, sent: SentText, isHost: boolean]> {
  for (const [key, sent] of callers.texts) yield [key, sent, false];
  for (const [key, record] of store.unshared()) {
    const sent = record.textFor(callers.namespaces);
    if (sent) yield [key, sent, record.isHost];
  }
}

function sendBuckets(follower: Follower, store: Store, cleared: ReadonlySet<number>): void {
  const news: News = { cleared, records: [], removed: [], packs: [] };
  for (const [key, sent] of ownRecords(follower, store))
    if (cleared.has(sent.digest.bucket)) news.records.push([key, sent]);
  for (const bucket of cleared) {
    const pack = store.shared.pack(bucket);
    if (pack) news.packs.push(pack);
  }
  sendParts(follower, news);
}

/** Sends what changed. */
export function sendChanges(
  follower: Follower,
  store: Store,
  bounds: Bounds,
  { changes, callers }: { changes: readonly Change[]; callers: Callers },
): void {
  const before = follower.callers;
  const news: News = { cleared: [], records: [], removed: [], packs: [] };
  const put = (
    key: string,
    was: SentText | undefined,
    is: SentText | undefined,
    isHost = false,
  ) => {
    if (was?.text === is?.text) return;
    if (is === undefined) news.removed.push(key);
    else news.records.push([key, is]);
    follower.length += (is?.text.length ?? 0) - (was?.text.length ?? 0);
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
    for (const [key, record] of store.unshared()) {
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
  const keys = [...news.removed, ...news.records.map(([key]) => key)];
  if (follower.isRefused || keys.length === 0) return;
  follower.isRefused = isOver(follower, bounds);
  if (follower.isRefused) refuse(follower);
  else if (keys.length > changesMax) sendBuckets(follower, store, new Set(keys.map(bucketOf)));
  else sendParts(follower, news);
}

function isOver({ hosts, length }: Follower, bounds: Bounds): boolean {
  return hosts > bounds.hosts || length > bounds.length;
}

function refuse({ send, hosts, length }: Follower): void {
  const refused = `${hosts} hosts with ${length} characters are more than a node keeps`;
  send({ cleared: [], records: [], removed: [], packs: [], complete: false, refused });
}

function sendParts({ send }: Follower, { cleared, records, removed, packs }: News): void {
  const empty = (): Part => {
    return { cleared: [], records: [], removed: [], packs: [], complete: false, refused: '' };
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
  for (const { bytes, length: texts } of packs) {
    // As long as its texts are, because the node unpacks a part without a pause.
    add(texts);
    part.packs.push(bytes);
  }
  for (const [key, { text }] of records) {
    add(key.length + text.length);
    part.records.push({ key, text });
  }
  send({ ...part, complete: true });
}

function isSame(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one.size === other.size && [...one].every((each) => other.has(each));
}
