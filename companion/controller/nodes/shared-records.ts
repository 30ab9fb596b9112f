import { packRecords } from '../../contract/catalog-pack.ts';
import { buckets } from '../../core/compact/digests.ts';
import type { Form, StoredRecord } from './stored-record.ts';

export type Pack = { bytes: Uint8Array; length: number };

/** The records of one bucket that every node gets, in one form. */
export type SharedBucket = {
  hosts: number;
  /** Characters of all texts. */
  length: number;
  /** The digest of all records. */
  sums: readonly [number, number];
  /** The records, compressed, and the length of their keys and texts; undefined: none. */
  pack(): Pack | undefined;
};

/** What every node gets, worked out once for all of them. */
export type SharedRecords = { bucket(index: number, form: Form): SharedBucket };

const nobody: ReadonlySet<string> = new Set();

/** `count` adds a record (1), or takes it out (-1). */
export function createShared() {
  const byBucket = Array.from({ length: buckets }, () => new Map<string, StoredRecord>());
  const known = { whole: new Map<number, SharedBucket>(), short: new Map<number, SharedBucket>() };
  const shared: SharedRecords = {
    bucket(index, form) {
      const found = known[form].get(index) ?? sharedBucket(byBucket[index] ?? new Map(), form);
      known[form].set(index, found);
      return found;
    },
  };
  function count(key: string, record: StoredRecord, by: 1 | -1): void {
    const sent = record.textFor(nobody);
    if (!sent) return;
    const { bucket } = sent.digest;
    if (by > 0) byBucket[bucket]?.set(key, record);
    else byBucket[bucket]?.delete(key);
    known.whole.delete(bucket);
    known.short.delete(bucket);
  }
  return { shared, count };
}

function sharedBucket(records: ReadonlyMap<string, StoredRecord>, form: Form): SharedBucket {
  let [hosts, length, one, other] = [0, 0, 0, 0];
  for (const record of records.values()) {
    const sent = record.textFor(nobody, form);
    hosts += record.isHost ? 1 : 0;
    length += sent?.text.length ?? 0;
    one ^= sent?.digest.sums[0] ?? 0;
    other ^= sent?.digest.sums[1] ?? 0;
  }
  let pack: Pack | undefined;
  return {
    ...{ hosts, length, sums: [one >>> 0, other >>> 0] },
    pack: () => {
      if (records.size > 0) pack ??= packOf(records, form);
      return pack;
    },
  };
}

function packOf(records: ReadonlyMap<string, StoredRecord>, form: Form): Pack {
  const texts = Array.from(records, ([key, record]) => {
    return { key, text: record.textFor(nobody, form)?.text ?? '' };
  });
  const length = texts.reduce((sum, { key, text }) => sum + key.length + text.length, 0);
  return { bytes: packRecords(texts), length };
}
