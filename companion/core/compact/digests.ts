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
  toBytes(): Uint8Array;
};

/** Of 5,000 hosts, 80 are in a bucket: what one that changed while no stream was open costs. */
export const buckets = 64;
const bytesPerBucket = 8;
export const digestsLength = buckets * bytesPerBucket;

export function bucketOf(key: string): number {
  return textDigest(key) % buckets;
}

export function createDigests(): Digests {
  const sums = new Uint32Array(2 * buckets);
  return {
    toggle(key, text) {
      const at = 2 * bucketOf(key);
      const whole = `${key}\n${text}`;
      sums[at] = (sums[at] ?? 0) ^ textDigest(whole);
      sums[at + 1] = (sums[at + 1] ?? 0) ^ textDigest(whole, otherSeed);
    },
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
