import type { CatalogPart } from '../../contract/rpc.ts';
import { bucketOf, buckets, createDigests, differing } from '../../core/compact/digests.ts';
import { type CatalogBounds, nextWholeBuckets } from '../../core/compact/fit.ts';
import type { Change } from './compact-store.ts';
import {
  type Callers,
  type FollowedStore,
  type OwnSizes,
  ownSizes,
  sizesOf,
  weigh,
} from './follower-sizes.ts';
import type { Pack } from './shared-records.ts';
import type { Form, SentText, StoredRecord } from './stored-record.ts';

/** A part, before it is known which Follow it answers. */
export type Part = Omit<CatalogPart, 'followId'>;

/** A node that follows the compact catalog on one stream. */
export type Follower = {
  readonly node: string;
  /** Keeps a part until the node reads it. */
  readonly send: (part: Part) => void;
  callers: Callers;
  own: OwnSizes;
  /**
   * The buckets that the node gets whole, from the first one on. Undefined: the node gets nothing,
   * because not even short records fit.
   */
  whole: number | undefined;
  /** Hosts that the node gets short. */
  shortHosts: number;
};

/**
 * For one node: twice the hosts of the largest mesh in which first calls are measured, with 800
 * characters each. Beyond that the hosts of some buckets are sent short. Node companions accept
 * 40,000 records of twice that length (node/compact-replica.ts), and a host that is kept short
 * takes about as many bytes there as one that is whole. Beyond 36,000 hosts a node asks about every
 * call.
 */
export const followerBounds: CatalogBounds = {
  hosts: 10_000,
  known: 36_000,
  length: 8 * 1024 * 1024,
};

/** A message has at most 1 MiB, a record at most 64 Ki characters of at most 3 bytes. */
const partLength = 256 * 1024;

/** Above this many changed records, their buckets are sent whole: compressed once for all nodes. */
const changesMax = 500;

type News = {
  cleared: Iterable<number>;
  records: [string, SentText][];
  removed: string[];
  packs: Pack[];
};

const formOf = ({ whole = 0 }: Follower, bucket: number): Form =>
  bucket < whole ? 'whole' : 'short';

/** Sends what the node lacks: the buckets that differ from what it had. */
export function sendWhole(
  follower: Follower,
  store: FollowedStore,
  bounds: CatalogBounds,
  had: Uint8Array = new Uint8Array(),
): void {
  follower.own = ownSizes(follower.callers, store);
  chooseForms(follower, store, bounds, undefined);
  if (follower.whole === undefined) {
    refuse(follower, store);
    return;
  }
  const digests = createDigests();
  for (let bucket = 0; bucket < buckets; bucket++) {
    const { sums } = store.shared.bucket(bucket, formOf(follower, bucket));
    digests.toggleDigest({ bucket, sums });
  }
  for (const [, { digest }] of ownRecords(follower, store)) digests.toggleDigest(digest);
  sendBuckets(follower, store, differing(digests.toBytes(), had));
}

/** What the node gets beside that which every node gets. */
function* ownRecords(
  follower: Follower,
  store: FollowedStore,
): Generator<[key: string, sent: SentText]> {
  const { texts, namespaces } = follower.callers;
  yield* texts;
  for (const [key, record] of store.unshared()) {
    const sent = sentOf(follower, record, namespaces);
    if (sent) yield [key, sent];
  }
}

/** A record as the node gets it if it has callers in these namespaces. */
function sentOf(
  follower: Follower,
  record: StoredRecord | undefined,
  namespaces: ReadonlySet<string>,
): SentText | undefined {
  const long = record?.textFor(namespaces);
  const isShort = long && formOf(follower, long.digest.bucket) === 'short';
  return isShort ? record?.textFor(namespaces, 'short') : long;
}

function sendBuckets(
  follower: Follower,
  { unshared, shared }: FollowedStore,
  cleared: ReadonlySet<number>,
): void {
  const news: News = { cleared, records: [], removed: [], packs: [] };
  for (const [key, sent] of ownRecords(follower, { unshared, shared }))
    if (cleared.has(sent.digest.bucket)) news.records.push([key, sent]);
  for (const bucket of cleared) {
    const pack = shared.bucket(bucket, formOf(follower, bucket)).pack();
    if (pack) news.packs.push(pack);
  }
  sendParts(follower, news);
}

type Moved = Pick<Change, 'key' | 'before' | 'after'>;

/** Sends what changed. */
export function sendChanges(
  follower: Follower,
  store: FollowedStore,
  bounds: CatalogBounds,
  { changes, callers }: { changes: readonly Change[]; callers: Callers },
): void {
  const { callers: former, whole: hadWhole } = follower;
  const moved: Moved[] = [...changes];
  if (!isSame(former.namespaces, callers.namespaces)) {
    const changed = new Set(changes.map(({ key }) => key));
    for (const [key, record] of store.unshared())
      if (!changed.has(key)) moved.push({ key, before: record, after: record });
  }
  for (const sent of former.texts.values()) weigh(follower.own, sent, -1);
  for (const sent of callers.texts.values()) weigh(follower.own, sent, 1);
  for (const { before: was, after: is } of moved) {
    weighRecord(follower, was, former.namespaces, -1);
    weighRecord(follower, is, callers.namespaces, 1);
  }
  follower.callers = callers;
  chooseForms(follower, store, bounds, hadWhole);
  if (follower.whole === undefined || hadWhole === undefined) {
    if (follower.whole !== undefined) sendWhole(follower, store, bounds);
    else if (hadWhole !== undefined) refuse(follower, store);
    return;
  }
  const news = newsOf(follower, former, moved);
  const reformed = rangeOf(hadWhole, follower.whole);
  const keys = [...news.removed, ...news.records.map(([key]) => key)];
  if (keys.length + reformed.length === 0) return;
  if (keys.length > changesMax || reformed.length > 0)
    sendBuckets(follower, store, new Set([...reformed, ...keys.map(bucketOf)]));
  else sendParts(follower, news);
}

function weighRecord(
  { own }: Follower,
  record: StoredRecord | undefined,
  namespaces: ReadonlySet<string>,
  by: 1 | -1,
): void {
  if (record && !record.isShared)
    weigh(own, record.textFor(namespaces), by, { record, namespaces });
}

/** What changed for the node, in buckets that it has in the same form as before. */
function newsOf(follower: Follower, before: Callers, moved: readonly Moved[]): News {
  const { texts, namespaces } = follower.callers;
  const news: News = { cleared: [], records: [], removed: [], packs: [] };
  const put = (key: string, was: SentText | undefined, is: SentText | undefined) => {
    if (was?.text === is?.text) return;
    if (is === undefined) news.removed.push(key);
    else news.records.push([key, is]);
  };
  for (const key of new Set([...before.texts.keys(), ...texts.keys()]))
    put(key, before.texts.get(key), texts.get(key));
  for (const { key, before: was, after: is } of moved)
    put(key, sentOf(follower, was, before.namespaces), sentOf(follower, is, namespaces));
  return news;
}

/** The buckets that one of two numbers of whole buckets has short. */
function rangeOf(one: number, other: number): number[] {
  const from = Math.min(one, other);
  return Array.from({ length: Math.max(one, other) - from }, (_, index) => from + index);
}

function refuse(follower: Follower, store: FollowedStore): void {
  const sizes = sizesOf(follower, store);
  const hosts = sizes.reduce((sum, size) => sum + size.hosts, 0);
  const length = sizes.reduce((sum, { short }) => sum + short(), 0);
  const refused = `${hosts} hosts with ${length} characters are more than a node keeps`;
  follower.send({ cleared: [], records: [], removed: [], packs: [], complete: false, refused });
}

/** Decides which buckets the node gets whole. */
function chooseForms(
  follower: Follower,
  store: FollowedStore,
  bounds: CatalogBounds,
  hadWhole: number | undefined,
): void {
  const sizes = sizesOf(follower, store);
  const whole = nextWholeBuckets(sizes, bounds, hadWhole);
  follower.whole = whole;
  follower.shortHosts = sizes.slice(whole ?? buckets).reduce((sum, { hosts }) => sum + hosts, 0);
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
