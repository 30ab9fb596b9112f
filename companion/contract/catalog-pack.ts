import { deflateRawSync, inflateRawSync } from 'node:zlib';

/**
 * Records of the compact catalog in one compressed text. What every node gets is compressed once,
 * and not once for each node.
 */

export type PackedRecord = { key: string; text: string };

/**
 * Longest text of a pack in bytes: the records of a node (controller/nodes/follower.ts) of at most
 * 3 bytes a character, if all of them were in one bucket.
 */
export const packBytesMax = 24 * 1024 * 1024;

/** Fast rather than small: a large mesh has 64 packs of 30 KB, which become 3 KB each. */
const level = 6;

export function packRecords(records: Iterable<PackedRecord>): Uint8Array {
  const pairs = Array.from(records, ({ key, text }) => [key, text]);
  return deflateRawSync(JSON.stringify(pairs), { level });
}

/** Undefined if the bytes are no pack. */
export function unpackRecords(bytes: Uint8Array): PackedRecord[] | undefined {
  try {
    const text = inflateRawSync(bytes, { maxOutputLength: packBytesMax }).toString();
    const pairs: unknown = JSON.parse(text);
    if (!Array.isArray(pairs)) return undefined;
    const records = pairs.map(recordOf);
    return records.every((record) => record !== undefined) ? records : undefined;
  } catch {
    return undefined;
  }
}

function recordOf(pair: unknown): PackedRecord | undefined {
  if (!Array.isArray(pair)) return undefined;
  const [key, text] = pair as unknown[];
  return typeof key === 'string' && typeof text === 'string' ? { key, text } : undefined;
}
