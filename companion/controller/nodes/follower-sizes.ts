import { buckets } from '../../core/compact/digests.ts';
import type { BucketSize } from '../../core/compact/fit.ts';
import type { CompactStore } from './compact-store.ts';
import type { SentText, StoredRecord } from './stored-record.ts';

/** The compact records of the pods of a node: the text by key, and the namespaces of the pods. */
export type Callers = { texts: ReadonlyMap<string, SentText>; namespaces: ReadonlySet<string> };

export type FollowedStore = Pick<CompactStore, 'unshared' | 'shared'>;

/** What only some nodes get, by bucket. */
export type OwnSizes = {
  hosts: number[];
  /** Characters of all records, with hosts whole. */
  whole: number[];
  /** The same with hosts short; undefined until somebody asks. */
  short: number[] | undefined;
};

type Source = { record: StoredRecord; namespaces: ReadonlySet<string> };

const zeros = () => Array.from({ length: buckets }, () => 0);

export const noSizes = (): OwnSizes => ({ hosts: zeros(), whole: zeros(), short: undefined });

export function ownSizes({ texts, namespaces }: Callers, store: FollowedStore): OwnSizes {
  const own = noSizes();
  for (const sent of texts.values()) weigh(own, sent, 1);
  for (const [, record] of store.unshared())
    weigh(own, record.textFor(namespaces), 1, { record, namespaces });
  return own;
}

/** Adds a text (1), or takes it out (-1); `source` for a record that may have a short form. */
export function weigh(
  { hosts, whole, short }: OwnSizes,
  sent: SentText | undefined,
  by: 1 | -1,
  source?: Source,
): void {
  if (!sent) return;
  const { bucket } = sent.digest;
  if (source?.record.isHost) add(hosts, bucket, by);
  add(whole, bucket, by * sent.text.length);
  if (short) add(short, bucket, by * shortLength(sent, source));
}

function shortLength(sent: SentText, source: Source | undefined): number {
  const short = source?.record.textFor(source.namespaces, 'short') ?? sent;
  return short.text.length;
}

function add(sums: number[], bucket: number, by: number): void {
  sums[bucket] = (sums[bucket] ?? 0) + by;
}

function shortSizes({ texts, namespaces }: Callers, store: FollowedStore): number[] {
  const sums = zeros();
  for (const { text, digest } of texts.values()) add(sums, digest.bucket, text.length);
  for (const [, record] of store.unshared()) {
    const sent = record.textFor(namespaces, 'short');
    if (sent) add(sums, sent.digest.bucket, sent.text.length);
  }
  return sums;
}

/** What the node may see, by bucket. */
export function sizesOf(
  { own, callers }: { own: OwnSizes; callers: Callers },
  store: FollowedStore,
): BucketSize[] {
  return own.hosts.map((hosts, bucket) => {
    const shared = store.shared.bucket(bucket, 'whole');
    return {
      hosts: shared.hosts + hosts,
      whole: shared.length + (own.whole[bucket] ?? 0),
      short() {
        own.short ??= shortSizes(callers, store);
        return store.shared.bucket(bucket, 'short').length + (own.short[bucket] ?? 0);
      },
    };
  });
}
