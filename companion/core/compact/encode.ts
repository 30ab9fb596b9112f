import { withoutServers } from './make.ts';
import { type CompactRecord, recordLengthMax } from './records.ts';

/**
 * The text of a record, of which the caller may have the JSON. A host that is too large is sent
 * without its servers; undefined if a record does not even fit then, and a controller is asked for
 * what it describes.
 */
export function encode(record: CompactRecord, text = JSON.stringify(record)): string | undefined {
  if (text.length <= recordLengthMax) return text;
  if (record.type !== 'host') return undefined;
  const short = JSON.stringify({ type: 'host', host: withoutServers(record.host) });
  return short.length <= recordLengthMax ? short : undefined;
}

/** The short form of a host, if it is shorter; of everything else, the text as it is. */
export function encodeShort(record: CompactRecord, text: string): string {
  if (record.type !== 'host') return text;
  const short = JSON.stringify({ type: 'host', host: withoutServers(record.host) });
  return short.length < text.length ? short : text;
}

/** The types that this release reads; a later one may send more. */
const types: readonly string[] = ['host', 'rule', 'namespace', 'mesh', 'caller'];

/** Undefined if the text is too long, is no JSON, or is of a type that this release lacks. */
export function decode(text: string): CompactRecord | undefined {
  if (text.length > recordLengthMax) return undefined;
  try {
    const record: unknown = JSON.parse(text);
    if (record === null || typeof record !== 'object' || !('type' in record)) return undefined;
    const { type } = record;
    const isKnown = typeof type === 'string' && types.includes(type) && type in record;
    return isKnown ? (record as CompactRecord) : undefined;
  } catch {
    return undefined;
  }
}
