import { knownPrefix, type LoggedCall } from '../core/first-call/logged-call.ts';

/**
 * Reads messages of Envoy's access log service (access-log.proto has the field numbers). Written by
 * hand, because a companion reads 50,000 entries a second without compiled code, and because no
 * bytes may make it throw.
 */

/** What a message says; `broken`: entries that could not be read, at least. */
export type LogMessage = { calls: LoggedCall[]; broken: number };

/**
 * A real entry has two addresses and a time, more than this; a message of smaller ones is read in
 * part, so that the work is bounded by its bytes.
 */
const entryBytesMin = 64;

/** Longer than any name in a mesh: what is cut here is refused later by its length. */
const textMax = 600;

type Cursor = { readonly bytes: Buffer; at: number };

/** No length or tag: the bytes are no protobuf. */
const malformed = -1;

/** Never throws. */
export function decodeLogMessage(bytes: Buffer): LogMessage {
  const cursor: Cursor = { bytes, at: 0 };
  const message: LogMessage = { calls: [], broken: 0 };
  const left = { entries: Math.ceil(bytes.length / entryBytesMin) };
  while (cursor.at < bytes.length) {
    const tag = readVarint(cursor, bytes.length);
    const isEntries = tag === httpLogs || tag === tcpLogs;
    const end = isEntries ? readEnd(cursor, bytes.length) : malformed;
    if (isEntries && end !== malformed) {
      readEntries(cursor, end, { tcp: tag === tcpLogs, message, left });
      cursor.at = end;
    } else if (isEntries || !skipValue(cursor, tag, bytes.length)) {
      message.broken += 1;
      return message;
    }
  }
  return message;
}

/** Tags: the field number times 8, plus the wire type: 0 varint, 2 with a length. */
const bytesField = (field: number) => field * 8 + 2;
const varintField = (field: number) => field * 8;
const httpLogs = bytesField(2);
const tcpLogs = bytesField(3);
const logEntry = bytesField(1);
const commonProperties = bytesField(1);
const request = bytesField(3);
const authority = bytesField(3);
const localAddress = bytesField(3);
const tlsProperties = bytesField(4);
const sniHostname = bytesField(3);
const upstreamCluster = bytesField(15);
const intermediate = varintField(27);
const logType = varintField(33);
const socketAddress = bytesField(1);
const socketHost = bytesField(2);
const socketPort = varintField(3);

type Reading = { tcp: boolean; message: LogMessage; left: { entries: number } };

function readEntries(cursor: Cursor, end: number, { tcp, message, left }: Reading): void {
  while (cursor.at < end) {
    const tag = readVarint(cursor, end);
    const stop = tag === logEntry ? readEnd(cursor, end) : malformed;
    if (stop === malformed) {
      if (tag !== logEntry && skipValue(cursor, tag, end)) continue;
      message.broken += 1;
      return;
    }
    if (left.entries === 0) {
      message.broken += 1;
      return;
    }
    left.entries -= 1;
    const call: LoggedCall = { tcp, cluster: '', name: '', address: '', isOver: true };
    if (readEntry(cursor, stop, call)) message.calls.push(call);
    else message.broken += 1;
    cursor.at = stop;
  }
}

function readEntry(cursor: Cursor, end: number, call: LoggedCall): boolean {
  while (cursor.at < end) {
    const tag = readVarint(cursor, end);
    // Envoy writes the cluster first; if that is the destination, the name says no more.
    if (tag !== commonProperties && (tag !== request || call.tcp || isKnown(call))) {
      if (!skipValue(cursor, tag, end)) return false;
      continue;
    }
    const stop = readEnd(cursor, end);
    if (stop === malformed) return false;
    if (tag === commonProperties) {
      if (!readCommon(cursor, stop, call)) return false;
    } else {
      const name = readText(cursor, stop, authority);
      if (name === undefined) return false;
      call.name = name;
    }
    cursor.at = stop;
  }
  return true;
}

function readCommon(cursor: Cursor, end: number, call: LoggedCall): boolean {
  let type = 0;
  let isIntermediate = false;
  let addressAt = end;
  let addressEnd = end;
  while (cursor.at < end) {
    const tag = readVarint(cursor, end);
    if (tag === intermediate || tag === logType) {
      const value = readVarint(cursor, end);
      if (value === malformed) return false;
      if (tag === logType) type = value;
      else isIntermediate = value !== 0;
      continue;
    }
    if (tag !== upstreamCluster && tag !== localAddress && (tag !== tlsProperties || !call.tcp)) {
      if (!skipValue(cursor, tag, end)) return false;
      continue;
    }
    const stop = readEnd(cursor, end);
    if (stop === malformed) return false;
    if (tag === upstreamCluster) call.cluster = textOf(cursor, stop);
    else if (tag === localAddress) [addressAt, addressEnd] = [cursor.at, stop];
    else {
      const name = readText(cursor, stop, sniHostname);
      if (name === undefined) return false;
      call.name = name;
    }
    cursor.at = stop;
  }
  call.isOver = !isIntermediate && lastTypes.has(type);
  if (isKnown(call)) return true;
  cursor.at = addressAt;
  const address = readAddress(cursor, addressEnd);
  if (address === undefined) return false;
  call.address = address;
  return true;
}

const isKnown = ({ cluster }: LoggedCall) => cluster.startsWith(knownPrefix);

/** Of `AccessLogType`, those of the last entry of a call: not set, TCP, HTTP, UDP. */
const lastTypes: ReadonlySet<number> = new Set([0, 3, 6, 13]);

/** `ip:port`, with IPv6 in brackets; empty if it is no socket address. */
function readAddress(cursor: Cursor, end: number): string | undefined {
  while (cursor.at < end) {
    const tag = readVarint(cursor, end);
    if (tag !== socketAddress) {
      if (!skipValue(cursor, tag, end)) return undefined;
      continue;
    }
    const stop = readEnd(cursor, end);
    return stop === malformed ? undefined : readSocket(cursor, stop);
  }
  return '';
}

function readSocket(cursor: Cursor, end: number): string | undefined {
  let host = '';
  let port = 0;
  while (cursor.at < end) {
    const tag = readVarint(cursor, end);
    if (tag === socketHost) {
      const stop = readEnd(cursor, end);
      if (stop === malformed) return undefined;
      host = textOf(cursor, stop);
      cursor.at = stop;
    } else if (tag === socketPort) {
      port = readVarint(cursor, end);
      if (port === malformed) return undefined;
    } else if (!skipValue(cursor, tag, end)) return undefined;
  }
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The last text of a field in a message; undefined if the message is malformed. */
function readText(cursor: Cursor, end: number, wanted: number): string | undefined {
  let text = '';
  while (cursor.at < end) {
    const tag = readVarint(cursor, end);
    if (tag !== wanted) {
      if (!skipValue(cursor, tag, end)) return undefined;
      continue;
    }
    const stop = readEnd(cursor, end);
    if (stop === malformed) return undefined;
    text = textOf(cursor, stop);
    cursor.at = stop;
  }
  return text;
}

/** Names are ASCII; other bytes become characters that no name has. */
function textOf({ bytes, at }: Cursor, end: number): string {
  return bytes.toString('latin1', at, Math.min(end, at + textMax));
}

/** The end of a value with a length, which begins at the cursor. */
function readEnd(cursor: Cursor, end: number): number {
  const length = readVarint(cursor, end);
  return length === malformed || length > end - cursor.at ? malformed : cursor.at + length;
}

/** At most 10 bytes; a number above 2^53 loses its last digits, and is no length here. */
function readVarint(cursor: Cursor, end: number): number {
  const first = cursor.bytes[cursor.at] ?? 0;
  if (first < 128 && cursor.at < end) {
    cursor.at += 1;
    return first;
  }
  let value = 0;
  let scale = 1;
  for (let i = 0; i < 10 && cursor.at < end; i++) {
    const byte = cursor.bytes[cursor.at] ?? 0;
    cursor.at += 1;
    value += (byte & 127) * scale;
    if (byte < 128) return value;
    scale *= 128;
  }
  return malformed;
}

/** Moves behind the value of a field; false if there is none. */
function skipValue(cursor: Cursor, tag: number, end: number): boolean {
  if (tag === malformed) return false;
  const wire = tag % 8;
  if (wire === 0) return readVarint(cursor, end) !== malformed;
  if (wire === 2) {
    const stop = readEnd(cursor, end);
    if (stop === malformed) return false;
    cursor.at = stop;
    return true;
  }
  if (wire !== 1 && wire !== 5) return false;
  cursor.at += wire === 1 ? 8 : 4;
  return cursor.at <= end;
}
