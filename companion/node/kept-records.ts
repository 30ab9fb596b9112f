import type { CatalogPart } from '../contract/rpc.ts';
import { type CompactCatalog, createCompactCatalog } from '../core/compact/catalog.ts';
import { bucketOf, createDigests, type Digests } from '../core/compact/digests.ts';
import { decode } from '../core/compact/encode.ts';

/** The records of this node, in the catalog and as they were sent. */
export type KeptRecords = {
  catalog: CompactCatalog;
  texts: Map<string, string>;
  digests: Digests;
  /** Characters of all keys and texts. */
  length: number;
};

export function keepNothing(): KeptRecords {
  return {
    catalog: createCompactCatalog(),
    texts: new Map(),
    digests: createDigests(),
    length: 0,
  };
}

export function lengthOf({ records }: CatalogPart): number {
  return records.reduce((sum, { key, text }) => sum + key.length + text.length, 0);
}

/** Records that are put in force without a pause: a few milliseconds. */
const recordsPerStep = 200;

/** Puts parts in force, in steps, between which a node may answer its pods. */
export function* take(kept: KeptRecords, parts: readonly CatalogPart[]): Generator<void> {
  const added = new Map<string, string>();
  const removed = new Set<string>();
  const cleared = new Set(parts.flatMap((part) => part.cleared));
  for (const part of parts) {
    for (const key of part.removed) removed.add(key);
    for (const { key, text } of part.records) added.set(key, text);
  }
  for (const key of kept.texts.keys()) if (cleared.has(bucketOf(key))) removed.add(key);
  let count = 0;
  for (const key of removed) if (!added.has(key)) put(kept, key, undefined);
  for (const [key, text] of added) {
    put(kept, key, text);
    count += 1;
    if (count % recordsPerStep === 0) yield;
  }
}

function put(kept: KeptRecords, key: string, text: string | undefined): void {
  const before = kept.texts.get(key);
  if (before === text) return;
  if (before !== undefined) {
    kept.digests.toggle(key, before);
    kept.length -= key.length + before.length;
  }
  if (text === undefined) {
    kept.texts.delete(key);
    kept.catalog.delete(key);
    return;
  }
  kept.texts.set(key, text);
  kept.digests.toggle(key, text);
  kept.length += key.length + text.length;
  // A record of a later release may be of a type that this one does not know.
  const record = decode(text);
  if (record) kept.catalog.set(key, record);
  else kept.catalog.delete(key);
}
