import { digestOf, type RecordDigest } from '../../core/compact/digests.ts';
import { encode, encodeShort } from '../../core/compact/encode.ts';
import type { CompactRecord } from '../../core/compact/records.ts';
import { isForEveryNode, restrictTo, whichPart } from '../../core/compact/restrict.ts';

/** The text of a record as some nodes get it. */
export type SentText = { text: string; digest: RecordDigest };

/** `short`: a host without its servers and rules. Records of other types have one form. */
export type Form = 'whole' | 'short';

/** A record, and its text for each set of namespaces that sees it in another way. */
export type StoredRecord = {
  isHost: boolean;
  /** Every node gets the same. */
  isShared: boolean;
  /** Undefined: callers in these namespaces do not see it, or it is too large. */
  textFor(namespaces: ReadonlySet<string>, form?: Form): SentText | undefined;
  /** Equal if and only if the record is. */
  whole: string;
};

/** Nodes whose callers see a record in the same way share its text; this many ways are kept. */
const waysMax = 64;

export function storedRecord(key: string, record: CompactRecord, whole: string): StoredRecord {
  const isHost = record.type === 'host';
  const sent = (text: string | undefined): SentText | undefined =>
    text === undefined ? undefined : { text, digest: digestOf(key, text) };
  const shortOf = (part: CompactRecord, long: SentText | undefined) => {
    const text = long && encodeShort(part, long.text);
    return text === long?.text ? long : sent(text);
  };
  if (isForEveryNode(record)) {
    const all = sent(encode(record, whole));
    // Worked out only where a catalog does not fit.
    let short: SentText | undefined;
    const textFor = (_: ReadonlySet<string>, form: Form = 'whole') => {
      if (form === 'short') short ??= shortOf(record, all);
      return form === 'short' ? short : all;
    };
    return { isHost, isShared: true, whole, textFor };
  }
  const ways = new Map<string, SentText | undefined>();
  return {
    isHost,
    isShared: false,
    whole,
    textFor(namespaces, form = 'whole') {
      const way = `${form} ${whichPart(record, namespaces)}`;
      if (ways.has(way)) return ways.get(way);
      const part = restrictTo(record, namespaces);
      const long = part && sent(encode(part));
      const found = form === 'whole' ? long : part && shortOf(part, long);
      if (ways.size >= waysMax) ways.clear();
      ways.set(way, found);
      return found;
    },
  };
}
