import { textDigest } from './text-digest.ts';

/**
 * Digests of a set of records, one for each bucket that the records are spread over by key. Two
 * sides compare theirs and exchange only buckets that differ. So a stream resumes from what a node
 * has, whichever replica sent it, and no replica keeps a history. A digest has 64 bits: a change
 * that leaves one as it was is less likely than a broken memory chip.
 */
export type Digests = {
  /** Adds the record, or takes it out again. */
  toggle(key: string, text: string): void;
  toggleDigest(digest: RecordDigest): void;
  copy(): Digests;
  toBytes(): Uint8Array;
};

/** The digest of one record, and the bucket that it belongs to. */
export type RecordDigest = { bucket: number; sums: readonly [number, number] };

/** Of 5,000 hosts, 80 are in a bucket: what one that changed while no stream was open costs. */
export const buckets = 64;
const bytesPerBucket = 8;
export const digestsLength = buckets * bytesPerBucket;

export function bucketOf(key: string): number {
  return textDigest(key) % buckets;
}

export function digestOf(key: string, text: string): RecordDigest {
  const whole = `${key}\n${text}`;
  return { bucket: bucketOf(key), sums: [textDigest(whole), textDigest(whole, otherSeed)] };
}

export function createDigests(sums = new Uint32Array(2 * buckets)): Digests {
  function toggleDigest({ bucket, sums: [one, other] }: RecordDigest): void {
    const at = 2 * bucket;
    sums[at] = (sums[at] ?? 0) ^ one;
    sums[at + 1] = (sums[at + 1] ?? 0) ^ other;
  }
  return {
    toggleDigest,
    toggle: (key, text) => toggleDigest(digestOf(key, text)),
    copy: () => createDigests(sums.slice()),
    toBytes() {
      const bytes = new DataView(new ArrayBuffer(digestsLength));
      for (const [index, sum] of sums.entries()) bytes.setUint32(index * 4, sum);
      return new Uint8Array(bytes.buffer);
    },
  };
}

const otherSeed = 0x9e3779b9;

/** The buckets in which two sides differ: all of them if the other side sent something else. */
export function differing(own: Uint8Array, other: Uint8Array): Set<number> {
  const found = new Set<number>();
  for (let bucket = 0; bucket < buckets; bucket++) {
    const at = bucket * bytesPerBucket;
    const isSame =
      other.length === digestsLength &&
      own.subarray(at, at + bytesPerBucket).every((byte, index) => byte === other[at + index]);
    if (!isSame) found.add(bucket);
  }
  return found;
}
