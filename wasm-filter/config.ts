/**
 * The plugin configuration, a JSON object: `{"mode":"http"|"tcp","fallback":"passthrough"|"direct",
 * "directCidrs":["10.0.0.0/8"],"flushSeconds":5,"holdSeconds":2}`. Every key is optional. An
 * invalid value leaves its key at the default, is logged and counted. No value makes the filter
 * refuse a configuration, because Envoy would then drop the filter.
 *
 * Envoy runs the HTTP and the network plugin of the same bytes in one VM, so settings that differ
 * between the two are kept for each mode, and a request uses those of its kind.
 */

import { getConfiguration, gotAt, gotSize, LOG_ERROR, LOG_WARN, log } from './abi';
import { hostSize, isInside, parseAddress, parseCidr } from './address';
import { allocate } from './arena';
import { ascii, decimal, equals, NOT_A_NUMBER, sizeOf } from './bytes';
import {
  atEnd,
  isBroken,
  need,
  peek,
  skip,
  startJson,
  take,
  takeScalar,
  takeString,
  textAt,
  textSize,
} from './json';
import * as names from './names';
import { DIRECT, HTTP, PASSTHROUGH, TCP } from './names';
import { bump, REFUSED_KEYS } from './totals';

/** 64 blocks a mode: a mesh has a few pod and service ranges. */
const MAX_CIDRS: u32 = 64;
const CIDR_SIZE: u32 = 17;

const MODE_HTTP: u32 = 0;
const MODE_TCP: u32 = 1;

/** Longest time between two reports of changes, so that the expiry of a scope sees them in time. */
const MAX_FLUSH_SECONDS: u32 = 30;
/** The longest time that a caller waits; a scope that takes longer will not come. */
const MAX_HOLD_SECONDS: u32 = 10;

// For each mode: number of CIDR blocks (0 = fall back to passthrough), then the blocks.
const CIDRS: usize = memory.data(2 * MAX_CIDRS * CIDR_SIZE, 8);
const CIDR_COUNTS: usize = memory.data(8, 8);

const DEFAULT_FLUSH_SECONDS: u32 = 5;
const DEFAULT_HOLD_SECONDS: u32 = 2;

/** For each mode; 0 = not configured yet. */
const FLUSH_SECONDS: usize = memory.data(8, 8);
let heldSeconds: u32 = DEFAULT_HOLD_SECONDS;

// The values of the configuration that is being read.
let mode: u32 = MODE_HTTP;
let isModeKnown: bool = true;
let flush: u32 = 0;
let hold: u32 = 0;
let direct: bool = false;
let cidrs: usize = 0;
let cidrCount: u32 = 0;

/** The shorter of the two modes' intervals: they share their reports. */
export function flushSeconds(): u32 {
  const http = load<u32>(FLUSH_SECONDS);
  const tcp = load<u32>(FLUSH_SECONDS, 4);
  return http == 0 || (tcp != 0 && tcp < http) ? tcp : http;
}

export function holdSeconds(): u32 {
  return heldSeconds;
}

/** Whether `ip:port` falls back to `direct`, for TCP connections or HTTP requests. */
export function fallsBackToDirect(isTcp: bool, at: usize, size: u32): bool {
  const blocks = load<u32>(CIDR_COUNTS + (isTcp ? 4 : 0));
  if (blocks == 0) return false;
  const address = allocate(16);
  const start = at + (size > 0 && load<u8>(at) == 0x5b ? 1 : 0);
  if (address == 0 || !parseAddress(start, hostSize(at, size), address)) return false;
  const first: usize = isTcp ? CIDRS + MAX_CIDRS * CIDR_SIZE : CIDRS;
  for (let i: u32 = 0; i < blocks; i++) if (isInside(address, first + i * CIDR_SIZE)) return true;
  return false;
}

/**
 * Reads the configuration that the host holds; `size` may be 0. Missing settings keep their
 * defaults.
 */
export function configure(size: u32): void {
  mode = MODE_HTTP;
  isModeKnown = true;
  direct = false;
  cidrCount = 0;
  cidrs = allocate(MAX_CIDRS * CIDR_SIZE);
  flush = DEFAULT_FLUSH_SECONDS;
  hold = DEFAULT_HOLD_SECONDS;
  if (size > 0) {
    if (getConfiguration(size)) read(gotAt(), gotSize());
    else refuse(CONFIGURATION);
  }
  // The other plugin may have configured this VM, and keeps what it has.
  if (!isModeKnown && flushSeconds() != 0) return;
  const blocks = isModeKnown && direct ? cidrCount : 0;
  memory.copy(CIDRS + mode * MAX_CIDRS * CIDR_SIZE, cidrs, blocks * CIDR_SIZE);
  store<u32>(CIDR_COUNTS + mode * 4, blocks);
  store<u32>(FLUSH_SECONDS + mode * 4, flush);
  if (mode == MODE_HTTP) heldSeconds = hold;
}

function read(text: usize, size: u32): void {
  startJson(text, size);
  if (need(0x7b) && !take(0x7d)) {
    do readPair();
    while (take(0x2c));
    need(0x7d);
  }
  if (isBroken() || !atEnd()) refuse(CONFIGURATION);
}

function readPair(): void {
  peek();
  if (!takeString()) {
    need(0x22);
    return;
  }
  const key = textAt();
  const size = textSize();
  if (!need(0x3a)) return;
  if (equals(key, size, names.MODE_KEY)) readMode();
  else if (equals(key, size, names.FALLBACK_KEY)) readFallback();
  else if (equals(key, size, names.DIRECT_CIDRS_KEY)) readCidrs();
  else if (equals(key, size, names.FLUSH_SECONDS_KEY)) {
    const value = readNumber(1, MAX_FLUSH_SECONDS);
    if (value != NOT_A_NUMBER) flush = value;
    else refuse(names.FLUSH_SECONDS_KEY);
  } else if (equals(key, size, names.HOLD_SECONDS_KEY)) {
    const value = readNumber(0, MAX_HOLD_SECONDS);
    if (value != NOT_A_NUMBER) hold = value;
    else refuse(names.HOLD_SECONDS_KEY);
  } else {
    say(LOG_WARN, UNKNOWN, key, min(size, 64));
    skip();
  }
}

function readMode(): void {
  if (!takeString()) skip();
  else if (equals(textAt(), textSize(), HTTP)) {
    mode = MODE_HTTP;
    return;
  } else if (equals(textAt(), textSize(), TCP)) {
    mode = MODE_TCP;
    return;
  }
  isModeKnown = false;
  refuse(names.MODE_KEY);
}

function readFallback(): void {
  if (!takeString()) skip();
  else if (equals(textAt(), textSize(), PASSTHROUGH)) {
    direct = false;
    return;
  } else if (equals(textAt(), textSize(), DIRECT)) {
    direct = true;
    return;
  }
  refuse(names.FALLBACK_KEY);
}

/** One invalid block refuses the whole list: half a list would send some traffic in plain text. */
function readCidrs(): void {
  let count: u32 = 0;
  let good: bool = cidrs != 0 && peek() == 0x5b;
  if (!take(0x5b)) skip();
  else if (!take(0x5d)) {
    do {
      if (!takeString()) {
        skip();
        good = false;
      } else if (good) {
        good = count < MAX_CIDRS && parseCidr(textAt(), textSize(), cidrs + count * CIDR_SIZE);
        count++;
      }
    } while (take(0x2c));
    need(0x5d);
  }
  cidrCount = good ? count : 0;
  if (!good) refuse(names.DIRECT_CIDRS_KEY);
}

/** A whole number from `least` to `most`, else NOT_A_NUMBER. */
function readNumber(least: u32, most: u32): u32 {
  if (!takeScalar()) {
    skip();
    return NOT_A_NUMBER;
  }
  const value = decimal(textAt(), textSize());
  return value != NOT_A_NUMBER && value >= least && value <= most ? value : NOT_A_NUMBER;
}

const CONFIGURATION = ascii('configuration');
const UNKNOWN = ascii('lazyscope: unknown key ignored in pluginConfig: ');
const REFUSED = ascii('lazyscope: bad value in pluginConfig, its default is used: ');

function refuse(key: usize): void {
  bump(REFUSED_KEYS);
  say(LOG_ERROR, REFUSED, key, sizeOf(key));
}

function say(level: u32, text: usize, key: usize, size: u32): void {
  const line = allocate(sizeOf(text) + size);
  if (line == 0) return;
  memory.copy(line, text, sizeOf(text));
  memory.copy(line + sizeOf(text), key, size);
  log(level, line, sizeOf(text) + size);
}
