/**
 * Reports to the node companion: totals and cumulative counts of every destination used since the
 * last report that was acknowledged. A report that is lost is repeated by the next one; one that
 * arrives twice says the same. One is under way at most.
 *
 * Body, little endian; companion/contract/filter-report.ts reads it:
 *   0 u32 magic "LZSR"   4 u16 layout   6 u16 entries   8 u32 filter version   12 u32 sequence
 *   16 u64 epoch         24 u64 totals, in the order of totals.ts
 *   then each entry: u8 kind, u8 0, u16 key size, u64 count, key
 * A companion of the release before reads it too: what is added is a kind of entry, or comes after
 * the last one, and makes the layout one more.
 */

import { CALL_RESPONSE_HEADERS, call, getHeader, gotAt, gotSize, now, random, SECOND } from './abi';
import { allocate } from './arena';
import { decimal, sizeOf } from './bytes';
import { flushSeconds } from './config';
import * as names from './names';
import { tellsOpen } from './open';
import { putPair, startPairs } from './pairs';
import { capacity, clusters, destinations, Entry, entryAt } from './table';
import { copyTotals, TOTALS_COUNT } from './totals';
import { VERSION } from './version';

const MAX_BODY: u32 = 65536;
const BODY: usize = memory.data(MAX_BODY, 16);
const MAGIC: u32 = 0x52535a4c;
const LAYOUT: u16 = 1;
const HEAD_SIZE: u32 = 24 + TOTALS_COUNT * 8;
const ENTRY_HEAD_SIZE: u32 = 12;

const TIMEOUT_MS: u32 = 1000;
/** A report older than this got no reply: its root context is gone. */
const LOST_AFTER: u64 = 3 * SECOND;
/** Silence longer than this means "filter not live" to the companion. */
const HEARTBEAT: u64 = 25 * SECOND;

let epoch: u64 = 0;
let sequence: u32 = 0;
let token: u32 = 0;
let sentAt: u64 = 0;
/** When a report was last accepted or last tried. */
let flushedAt: u64 = 0;
/**
 * Something was seen for the first time, or a report had no room for all entries: do not wait for
 * the interval.
 */
let urgent: bool = true;
/** Where the next report starts in the tables, so that a full body cannot starve an entry. */
let cursor: u32 = 0;

/** Begins this VM's life: a random number distinguishes its counts from those of other VMs. */
export function startReports(): void {
  if (epoch != 0) return;
  epoch = random() ^ now();
  if (epoch == 0) epoch = 1;
}

export function reportSoon(): void {
  urgent = true;
}

/** Sends a report if one is due and none is in flight. */
export function reportIfDue(time: u64): void {
  if (token != 0 && time - sentAt <= LOST_AFTER) return;
  token = 0;
  const waited = time - flushedAt;
  const due = waited >= interval() || (urgent && waited >= SECOND / 2);
  if (!due) return;
  // Not accepted yet: the companion may be starting, or the namespace is about to be enabled.
  const size = write(waited >= HEARTBEAT || urgent || heardAt == 0);
  if (size == 0) return;
  flushedAt = time;
  token = send(size);
  sentAt = time;
}

/**
 * The flush interval, up to a tenth shorter or longer, so that the proxies of a node spread out.
 */
function interval(): u64 {
  const tenth = (<u64>flushSeconds() * SECOND) / 10;
  const spread = (epoch + sequence * 0x9e3779b9) % 21;
  return tenth * 9 + (tenth * spread) / 10;
}

function send(size: u32): u32 {
  const at = allocate(256);
  if (at == 0) return 0;
  startPairs(at, 4);
  putPair(names.METHOD, names.POST, sizeOf(names.POST));
  putPair(names.PATH, names.REPORT_PATH, sizeOf(names.REPORT_PATH));
  putPair(names.AUTHORITY, names.NODE_CLUSTER, sizeOf(names.NODE_CLUSTER));
  const end = putPair(names.CONTENT_TYPE, names.OCTET_STREAM, sizeOf(names.OCTET_STREAM));
  return call(names.NODE_CLUSTER, at, end, BODY, size, TIMEOUT_MS);
}

/**
 * A companion that accepted a report this recently will accept a held request: three heartbeats at
 * most.
 */
const ALIVE: u64 = 90 * SECOND;

let heardAt: u64 = 0;

/** Whether the companion is known to be alive; false after a jump of the clock. */
export function companionLives(time: u64): bool {
  return heardAt != 0 && time >= heardAt && time - heardAt < ALIVE;
}

/** Handles the response of a call if it answers a report; false if it does not. */
export function settleReport(responseToken: u32, failed: bool, time: u64): bool {
  if (token == 0 || responseToken != token) return false;
  token = 0;
  if (failed || !getHeader(CALL_RESPONSE_HEADERS, names.STATUS)) return true;
  const status = decimal(gotAt(), gotSize());
  if (status == 204 || status == 409) heardAt = time;
  if (status == 204) acknowledge();
  else if (status == 409) forgetAcknowledgements();
  return true;
}

function acknowledge(): void {
  for (let i: u32 = 0; i < total(); i++) {
    const entry = nth(i);
    if (entry.reported != 0) entry.acknowledged = entry.reported;
  }
}

/** The companion lost its memory: send everything again. */
function forgetAcknowledgements(): void {
  for (let i: u32 = 0; i < total(); i++) {
    const entry = nth(i);
    entry.acknowledged = 0;
    entry.reported = 0;
  }
  urgent = true;
}

/**
 * Writes the body and returns its size; 0 if there is nothing to report and no report is `wanted`.
 */
function write(wanted: bool): u32 {
  let end: u32 = HEAD_SIZE;
  let entries: u32 = 0;
  let full = false;
  const first = cursor;
  const isOpenTold = tellsOpen(now());
  for (let i: u32 = 0; i < total(); i++) {
    const index = (first + i) % total();
    const entry = nth(index);
    entry.reported = 0;
    if (isOpenTold && entry.open > 0 && entry.count == entry.acknowledged) entry.count++;
    if (full || entry.hash == 0 || entry.count == entry.acknowledged) continue;
    const size = ENTRY_HEAD_SIZE + entry.keySize;
    if (end + size > MAX_BODY) {
      full = true;
      cursor = index;
      continue;
    }
    writeEntry(BODY + end, entry);
    end += size;
    entries++;
  }
  if (entries == 0 && !wanted) return 0;
  urgent = full;
  writeHead(entries);
  return end;
}

function writeHead(entries: u32): void {
  store<u32>(BODY, MAGIC);
  store<u16>(BODY, LAYOUT, 4);
  store<u16>(BODY, <u16>entries, 6);
  store<u32>(BODY, VERSION, 8);
  store<u32>(BODY, ++sequence, 12);
  store<u64>(BODY, epoch, 16);
  copyTotals(BODY + 24);
}

function writeEntry(at: usize, entry: Entry): void {
  entry.reported = entry.count;
  store<u8>(at, entry.kind);
  store<u8>(at, 0, 1);
  store<u16>(at, entry.keySize, 2);
  store<u64>(at, entry.count, 4);
  memory.copy(at + ENTRY_HEAD_SIZE, entry.key, entry.keySize);
}

function total(): u32 {
  return capacity(clusters) + capacity(destinations);
}

/** Entries of both tables, one after the other. */
function nth(index: u32): Entry {
  const first = capacity(clusters);
  return index < first ? entryAt(clusters, index) : entryAt(destinations, index - first);
}
