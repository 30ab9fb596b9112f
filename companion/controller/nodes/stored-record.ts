import { digestOf, type RecordDigest } from '../../core/compact/digests.ts';
import { encode } from '../../core/compact/encode.ts';
import type { CompactRecord } from '../../core/compact/records.ts';
import { isForEveryNode, restrictTo, whichPart } from '../../core/compact/restrict.ts';

/** The text of a record as some nodes get it. */
export type SentText = { text: string; digest: RecordDigest };

/** A record, and its text for each set of namespaces that sees it in another way. */
export type StoredRecord = {
  isHost: boolean;
  /** Every node gets the same. */
  isShared: boolean;
  /** Undefined: callers in these namespaces do not see it, or it is too large. */
  textFor(namespaces: ReadonlySet<string>): SentText | undefined;
  /** Equal if and only if the record is. */
  whole: string;
};

/** Nodes whose callers see a record in the same way share its text; this many ways are kept. */
const waysMax = 64;

export function storedRecord(key: string, record: CompactRecord, whole: string): StoredRecord {
  const isHost = record.type === 'host';
  const sent = (text: string | undefined): SentText | undefined =>
    text === undefined ? undefined : { text, digest: digestOf(key, text) };
  if (isForEveryNode(record)) {
    const all = sent(encode(record, whole));
    return { isHost, isShared: true, whole, textFor: () => all };
  }
  const ways = new Map<string, SentText | undefined>();
  return {
    isHost,
    isShared: false,
    whole,
    textFor(namespaces) {
      const way = whichPart(record, namespaces);
      if (ways.has(way)) return ways.get(way);
      const part = restrictTo(record, namespaces);
      const found = part && sent(encode(part));
      if (ways.size >= waysMax) ways.clear();
      ways.set(way, found);
      return found;
    },
  };
}
