import { unpackRecords } from '../../../../companion/contract/catalog-pack.ts';
import type { CatalogPart } from '../../../../companion/contract/rpc.ts';
import { bucketOf, createDigests } from '../../../../companion/core/compact/digests.ts';

/** The records that a node has after what it was sent, and how much that was. */
export function createReceiver() {
  const texts = new Map<string, string>();
  let staged: CatalogPart[] = [];
  const sent = { length: 0, parts: 0, packs: 0, refused: '' };
  return {
    texts,
    sent,
    send(part: CatalogPart): void {
      sent.parts += 1;
      sent.packs += part.packs.length;
      sent.refused = part.refused;
      for (const { key, text } of part.records) sent.length += key.length + text.length;
      for (const pack of part.packs) sent.length += pack.length;
      const records = [...part.packs.flatMap((pack) => unpackRecords(pack) ?? []), ...part.records];
      staged.push({ ...part, packs: [], records });
      if (!part.complete) return;
      const cleared = new Set(staged.flatMap((each) => each.cleared));
      for (const key of [...texts.keys()]) if (cleared.has(bucketOf(key))) texts.delete(key);
      for (const { removed, records } of staged) {
        for (const key of removed) texts.delete(key);
        for (const { key, text } of records) texts.set(key, text);
      }
      staged = [];
    },
    follow() {
      const digests = createDigests();
      for (const [key, text] of texts) digests.toggle(key, text);
      return { layout: 1, digests: digests.toBytes(), id: 1 };
    },
  };
}
