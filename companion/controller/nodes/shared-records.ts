import { packRecords } from '../../contract/catalog-pack.ts';
import { createDigests, type Digests } from '../../core/compact/digests.ts';
import type { StoredRecord } from './stored-record.ts';

/** What every node gets, worked out once for all of them. */
export type SharedRecords = {
  digests: Digests;
  hosts: number;
  /** Characters of all texts. */
  length: number;
  /** The records of a bucket, compressed, and the length of their texts; undefined: none. */
  pack(bucket: number): { bytes: Uint8Array; length: number } | undefined;
};

const nobody: ReadonlySet<string> = new Set();

/** `count` adds a record (1), or takes it out (-1). */
export function createShared() {
  const byBucket = new Map<number, Map<string, string>>();
  const packs = new Map<number, { bytes: Uint8Array; length: number }>();
  const shared: SharedRecords = {
    digests: createDigests(),
    hosts: 0,
    length: 0,
    pack(bucket) {
      const known = packs.get(bucket);
      const texts = byBucket.get(bucket);
      if (known || !texts) return known;
      const records = [...texts].map(([key, text]) => ({ key, text }));
      const length = records.reduce((sum, { key, text }) => sum + key.length + text.length, 0);
      const pack = { bytes: packRecords(records), length };
      packs.set(bucket, pack);
      return pack;
    },
  };
  function count(key: string, { isHost, textFor }: StoredRecord, by: 1 | -1): void {
    const sent = textFor(nobody);
    if (!sent) return;
    const { text, digest } = sent;
    const texts = byBucket.get(digest.bucket) ?? new Map<string, string>();
    if (by > 0) byBucket.set(digest.bucket, texts.set(key, text));
    else if (texts.delete(key) && texts.size === 0) byBucket.delete(digest.bucket);
    packs.delete(digest.bucket);
    shared.digests.toggleDigest(digest);
    shared.hosts += isHost ? by : 0;
    shared.length += by * text.length;
  }
  return { shared, count };
}
