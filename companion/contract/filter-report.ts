import type { ReportedEdge } from './rpc.ts';

/** Largest report body in bytes, as the filter bounds it (wasm-filter/report.ts). */
export const maxReportBytes = 65536;

const magic = 0x52535a4c;
/**
 * The newest layout that this decoder knows. A later layout may add kinds of entries, and bytes
 * after the last entry; the decoder ignores both. Any change of existing fields takes another
 * magic.
 */
const layout = 1;
const headBytes = 112;
const entryHeadBytes = 12;

/**
 * Names of the filter's totals, in the order in which a report carries them
 * (wasm-filter/totals.ts).
 */
export const totalNames = [
  'requests',
  'connections',
  'asked',
  'answered',
  'stale',
  'fallbacks',
  'held',
  'overflow',
  'errors',
  'refusedKeys',
  'lost',
] as const;

export type TotalName = (typeof totalNames)[number];

/**
 * A destination that a proxy used. `cluster` is Envoy's name, as
 * `outbound|9080||reviews.app.svc.cluster.local`;
 * `address` is the original destination, `ip:port` with IPv6 in brackets.
 */
export type Destination =
  | { kind: 'cluster'; cluster: string }
  | { kind: 'http'; authority: string; address: string }
  | { kind: 'tcp'; address: string };

/**
 * `count` grows as long as the filter remembers the destination. A count that is smaller than
 * before, at the same epoch, means that the filter evicted the destination and saw it again: add
 * the count whole.
 */
export type ReportEntry = { destination: Destination; count: bigint };

/**
 * The counts of one filter VM since it started. All numbers are cumulative, so a lost or repeated
 * report does no harm. `epoch` is the VM's random identity, `sequence` orders its reports.
 */
export type FilterReport = {
  filterVersion: string;
  epoch: bigint;
  sequence: number;
  totals: Readonly<Record<TotalName, bigint>>;
  entries: ReportEntry[];
};

/** The bytes are not a report that this companion understands. */
export class ReportError extends Error {
  override name = 'ReportError';
}

/**
 * Decodes the body of `POST /v1/report`. The decoder does not trust the body: it checks every size
 * and never reads beyond the end.
 * @throws {ReportError} naming the fault and its byte offset.
 */
export function decodeReport(body: Uint8Array): FilterReport {
  if (body.length > maxReportBytes) {
    throw new ReportError(`report of ${body.length} bytes, at most ${maxReportBytes} are allowed`);
  }
  if (body.length < headBytes) {
    throw new ReportError(`report of ${body.length} bytes, at least ${headBytes} are needed`);
  }
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  if (view.getUint32(0, true) !== magic) throw new ReportError('report without the magic LZSR');
  const found = view.getUint16(4, true);
  if (found === 0) throw new ReportError('report of layout 0, the first one is 1');
  return {
    filterVersion: decodeVersion(view.getUint32(8, true)),
    epoch: view.getBigUint64(16, true),
    sequence: view.getUint32(12, true),
    totals: decodeTotals(view),
    entries: decodeEntries(view, view.getUint16(6, true), found > layout),
  };
}

function decodeVersion(version: number): string {
  return `${version >>> 16}.${(version >>> 8) & 255}.${version & 255}`;
}

function decodeTotals(view: DataView): Record<TotalName, bigint> {
  const pairs = totalNames.map((name, i) => [name, view.getBigUint64(24 + i * 8, true)]);
  return Object.fromEntries(pairs) as Record<TotalName, bigint>;
}

function decodeEntries(view: DataView, count: number, isNewer: boolean): ReportEntry[] {
  const entries: ReportEntry[] = [];
  let at = headBytes;
  for (let i = 0; i < count; i++) {
    if (at + entryHeadBytes > view.byteLength) throw new ReportError(`entry ${i} is cut at ${at}`);
    const keyBytes = view.getUint16(at + 2, true);
    const keyAt = at + entryHeadBytes;
    if (keyAt + keyBytes > view.byteLength) throw new ReportError(`key ${i} is cut at ${keyAt}`);
    const key = new Uint8Array(view.buffer, view.byteOffset + keyAt, keyBytes);
    const kind = view.getUint8(at);
    if (kind <= kindMax || !isNewer) {
      const destination = decodeDestination(kind, key, at);
      entries.push({ destination, count: view.getBigUint64(at + 4, true) });
    }
    at = keyAt + keyBytes;
  }
  if (at !== view.byteLength && !isNewer) {
    throw new ReportError(`${view.byteLength - at} bytes after the last entry at ${at}`);
  }
  return entries;
}

/** Cluster, HTTP, TCP. */
const kindMax = 2;

// Lenient on purpose: an invalid byte in one authority must not cost the other entries of the
// report.
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

function decodeDestination(kind: number, key: Uint8Array, at: number): Destination {
  const text = utf8.decode(key);
  if (text === '') throw new ReportError(`key of the entry at ${at} is empty`);
  if (kind === 0) return { kind: 'cluster', cluster: text };
  if (kind === 2) return { kind: 'tcp', address: text };
  if (kind !== 1) throw new ReportError(`unknown kind ${kind} of the entry at ${at}`);
  const end = text.indexOf('\0');
  if (end < 1 || end === text.length - 1) {
    throw new ReportError(`key of the entry at ${at} is not authority, NUL, address`);
  }
  return { kind: 'http', authority: text.slice(0, end), address: text.slice(end + 1) };
}

/** The destination in the form that is sent to controllers. */
export function edgeOf(used: Destination): Pick<ReportedEdge, 'cluster' | 'unknown'> {
  if (used.kind === 'cluster') return { cluster: used.cluster };
  const authority = used.kind === 'http' ? used.authority : '';
  return { unknown: { tcp: used.kind === 'tcp', authority, destination: used.address } };
}
